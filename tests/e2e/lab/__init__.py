"""A laboratory for the end-to-end tests and the demo: network namespaces, daemons, the black wire, captures.

Nothing here asserts anything; the tests and the demo judge what the laboratory shows them.
"""
