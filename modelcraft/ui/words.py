"""The words that a reader may not know, each explained in a sentence or two; `components/words.js` shows them."""

from collections.abc import Mapping

WORDS: Mapping[str, str] = {
    "loss": "How badly a model guesses: the mean, over a text that it has not seen, of -log p, where p is the "
    "probability that it gave to the character that really came. Lower is better; 0 would be always "
    "certain and right.",
    "nats": "The unit of the loss, with the natural logarithm. One nat less: the character that came was given "
    "2.7 times the probability. One nat is 1.44 bits.",
    "parameter": "One number of a model that training sets. Nobody writes them by hand. (The rung counting learns "
    "none: its figure is how many counts it keeps.)",
    "perplexity": "e to the power of the loss: among how many equally likely characters a model would have to choose to"
    " be as unsure as it is.",
    "softmax": "Turns any scores into shares that sum to 1: each becomes e to the power of the score, divided by the"
    " sum of them all. The higher the score, the larger the share.",
    "head": "One unit of attention. It gives each earlier character a share, by what stands there, and takes the "
    "mean of their values by these shares.",
    "temperature": "What the scores are divided by before a character is drawn. Below 1 the likely becomes likelier, "
    "above 1 the unlikely does; at 0 always the likeliest is taken.",
    "top-p": "Draw from the likeliest characters only: from as few as together have this probability. At 1 it is "
    "all of them.",
    "top-k": "Draw from this many characters only, the likeliest. At 0 it is all of them.",
    "min-p": "Draw from those characters only that have at least this share of the probability of the likeliest. "
    "At 0 it is all of them.",
    "bit": "The unit of surprise: -log2 of the probability that a character had. One bit more is half the probability: "
    "1 bit is one chance in 2, 3 bits are one in 8, 8 bits one in 256.",
}
