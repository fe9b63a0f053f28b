"""The client without I/O: what to send and what came back, as functions on values.

- `request`: what a request is, and those that read; `writing` and `subresources`: the others. `names`: what
  may stand in a path.
- `patches`: the four kinds of patch. `selectors`: label selectors, parsed and matched.
- `response`: answers and their errors. `retrying`: what is sent again. `listing`: pages of a list.
  `watching`: a watch's bytes to events. `undecodable`: objects that are passed over.
- `channels`: the framing of exec, attach and port-forward. `discovery`: what a server offers, by any name.

Everything here can be tested, or put to use on another transport, without a server.
"""
