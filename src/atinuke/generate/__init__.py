"""From a trained network to text: `sampling` chooses a token, `decode` writes one after another, `run` shows them.

`loading` opens a run folder. Nothing is imported here, so that `config` can be read without torch.
"""
