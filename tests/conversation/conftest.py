from tests.conversation.displays import quick

__all__ = ["quick"]
