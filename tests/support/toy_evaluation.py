"""A small evaluation of two toy tasks, one with options and one without."""

from flan_jax.data.row_tokenizer import RowTokenizer
from flan_jax.decoding.scorer import Scorer
from flan_jax.evaluation.predictions import Predictor
from flan_jax.evaluation.score_files import ScoreFiles
from flan_jax.models.decoder import DecoderConfig
from flan_jax.models.encoder_decoder import EncoderDecoderConfig

SIZES = {
    "vocab_size": 400,
    "emb_dim": 16,
    "num_heads": 2,
    "head_dim": 8,
    "mlp_dim": 24,
    "dropout_rate": 0.0,
}
MODELS = {
    "encoder_decoder": EncoderDecoderConfig(
        num_encoder_layers=1, num_decoder_layers=1, **SIZES
    ),
    "decoder": DecoderConfig(num_layers=1, **SIZES),
}
LENGTHS = {"inputs": 32, "targets": 16}

# Templates that ask for the answer x kept examples.
ROWS = {"toy_kind": 2 * 17, "toy_spell": 2 * 13}

PARAMS_ID = {"seed": 0}


def predict(scorer, stores, tokenizer, limits=None, **settings):
    """Predicts all rows of some stores, or the first `limits` of each."""
    limits = limits or {key: len(store) for key, store in stores.items()}
    row_tokenizer = RowTokenizer(tokenizer, architecture=scorer.architecture)
    predictor = Predictor(
        scorer=scorer, row_tokenizer=row_tokenizer, **{"lengths": LENGTHS} | settings
    )
    return predictor.predict(stores, limits)


def is_complete(context, job, params_id=PARAMS_ID):
    return ScoreFiles(context, job, params_id).complete()


class Killed(BaseException):
    """Stands for SIGKILL: nothing of the program may handle it."""


class MortalScorer(Scorer):
    """Counts batches, and dies when `lives` of them are done."""

    lives = 10**9

    def log_probs(self, prompts, answers):
        self._live()
        return super().log_probs(prompts, answers)

    def generate(self, prompts, config, streams=None):
        self._live()
        return super().generate(prompts, config, streams)

    def _live(self):
        if MortalScorer.lives == 0:
            raise Killed
        MortalScorer.lives -= 1
