"""Inputs shared by tests of several layers."""
