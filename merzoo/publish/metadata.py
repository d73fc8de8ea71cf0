"""What the Hub itself reads in the head of a model card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from merzoo.evaluation.scores import TITLES
from merzoo.publish.scores import Scored
from merzoo.publish.trained import Trained
from merzoo.text import plain

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData

TASK = "video-classification"  # of the Hub's list; a model here takes a clip of a face and gives a class
TAGS = ("merzoo", "micro-expression-recognition", "micro-expressions", "facial-expressions")
METRIC = {"uf1": "f1", "uar": "recall", "accuracy": "accuracy", "au_f1": "f1"}  # the Hub's names; UF1 and UAR are their means over classes


def metadata(repo: str, trained: Trained, scored: Scored | None, licence: str, licence_name: str = "") -> ModelCardData:
    """The head of the card, by huggingface_hub's own class, which writes and quotes the YAML.

    Scores go into `model-index`, not into `.eval_results/`: an entry there must name a data set of the Hub that is registered as a benchmark, and neither the
    licensed data sets nor the synthetic faces lie on the Hub. Scores whose audit failed go nowhere a program would read them.
    """
    from huggingface_hub import ModelCardData

    kinds = ["synthetic-data"] if trained.synthetic else []
    results = None if scored is None or scored.failed or scored.result is None else _results(scored, trained.others)
    return ModelCardData(
        library_name="merzoo",
        license=licence,
        license_name=licence_name or None,
        pipeline_tag=TASK,
        tags=[*TAGS, *kinds],
        metrics=list(dict.fromkeys(result.metric_type for result in results)) if results else None,
        model_name=repo.partition("/")[2],
        eval_results=results,
    )


def _results(scored: Scored, others: str) -> list[Any]:
    from huggingface_hub import EvalResult

    assert scored.result is not None
    data, protocol = scored.run.facts["data"], scored.run.protocol
    name = plain(f"{data['name']}:{data['part']}" if data.get("part") else data["name"])
    return [
        EvalResult(
            task_type=TASK,
            task_name="Micro-expression recognition",
            dataset_type=plain(data["name"]),
            dataset_name=name,
            dataset_config=plain(data["part"]) if data.get("part") else None,
            dataset_split=plain(protocol.name),
            dataset_args={"manifest_sha256": plain(data["manifest_hash"]), "folds_sha256": protocol.hash, "networks": scored.networks},
            metric_type=METRIC[metric],
            metric_name=f"{TITLES[metric]} of other {others}, 95 % interval {one['low']:.3f} to {one['high']:.3f}",
            metric_value=round(one["value"], 4),
            metric_config=None if metric == "accuracy" else "macro",
            verified=False,
        )
        for metric, one in scored.result["scores"].items()
    ]
