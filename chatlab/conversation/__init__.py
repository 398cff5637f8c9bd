"""A conversation: what panel and console share below their faces."""

from chatlab.conversation.conversation import Conversation
from chatlab.conversation.face import Face, Heard
from chatlab.conversation.failures import explain, explain_end
from chatlab.conversation.own import Own
from chatlab.conversation.places import Place, place_of

__all__ = ["Conversation", "Face", "Heard", "Own", "Place", "explain", "explain_end", "place_of"]
