"""Fixtures of texts and tokenizers."""

from text_fixtures import *
