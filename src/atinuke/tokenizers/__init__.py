"""Text to ids and back: char, word, byte-level BPE and unigram behind one interface and one file format.

`training.py` makes a tokenizer from a sample, `tokenizer.py` is what everyone uses afterwards. Beneath them:
`splitting.py` (the patterns, and where a long text may be cut), `vocabulary.py` (the parts of a tokenizer and its
file), `unigram.py` (how unigram pieces are learnt).
"""

from atinuke.tokenizers.tokenizer import TextDecoder, Tokenizer
from atinuke.tokenizers.training import train_tokenizer
from atinuke.tokenizers.vocabulary import KINDS

__all__ = ["KINDS", "TextDecoder", "Tokenizer", "train_tokenizer"]
