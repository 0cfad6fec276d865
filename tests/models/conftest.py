"""Fixtures of tiny models."""

from model_fixtures import *
