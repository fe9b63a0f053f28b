"""The client without I/O: what to send and what came back, as functions on values.

- `request`: the request of every verb; `names`: what may stand in a path.
- `patches`: the four kinds of patch. `selectors`: label selectors, parsed and matched.
- `response`: answers and their errors. `listing`: pages of a list. `watching`: a watch's bytes to events.

Everything here can be tested, or put to use on another transport, without a server.
"""
