"""A laboratory for the end-to-end tests and the demo: network namespaces, daemons, the black wire, captures.

It asserts nothing; the tests and the demo judge what it shows them.
"""
