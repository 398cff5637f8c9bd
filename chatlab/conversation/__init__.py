"""A conversation: the code that panel and console share."""

from chatlab.conversation.conversation import Conversation
from chatlab.conversation.display import Display, ReceivedMessage
from chatlab.conversation.failures import explain, explain_end
from chatlab.conversation.own import OwnMessage
from chatlab.conversation.places import Place, place_of

__all__ = [
    "Conversation",
    "Display",
    "OwnMessage",
    "Place",
    "ReceivedMessage",
    "explain",
    "explain_end",
    "place_of",
]
