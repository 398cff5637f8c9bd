from tests.conversation.faces import quick

__all__ = ["quick"]
