"""The demonstration, a few steps long: its variants differ in the transfer alone, and its report is whole."""

import json
from pathlib import Path

from rich.console import Console

from skt_crowd.demonstration.demo import NO_TRANSFER, VARIANTS, Demo
from skt_crowd.demonstration.report import write_demo_report
from skt_crowd.models import load_model
from skt_crowd.recipes.recipe_file import differing_keys

TINY = [
    "model.channel_preservation_rate=1/16",
    "data.options={length: 6, height: 48, width: 48, people_max: 8}",
    "data.crop=32",
    "training.steps=2",
    "training.batch_size=1",
    "training.threads=1",
]


def test_variants_differ_in_the_transfer_alone(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "demo", (0, 1))
    recipes = [demo.recipe_of(variant, 1) for variant in VARIANTS]
    for recipe in recipes[1:]:
        sections = {key.split(" ")[0].split(".")[0] for key in differing_keys(recipes[0], recipe)}
        assert sections <= {"kind", "teacher", "transfer"}
    assert recipes[0].kind == "train"
    kept = [
        recipe.transfer.model_dump(include={"intra", "inter", "soft"})
        for recipe in recipes[1:]
        if recipe.transfer
    ]
    assert [[name for name, weight in terms.items() if weight > 0] for terms in kept] == [
        ["intra"],
        ["inter"],
        ["intra", "inter", "soft"],
    ]


def test_a_demonstration_ends_in_a_table_and_pictures(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "demo", (0, 1), TINY)
    outcomes = demo.run(Console(quiet=True))
    report = write_demo_report(demo, outcomes).read_text()
    assert [outcome.name for outcome in outcomes] == ["teacher", *(variant.name for variant in VARIANTS)]
    assert all(len(outcome.mae) == 2 for outcome in outcomes[1:])
    results = json.loads((tmp_path / "demo/results.json").read_text())
    assert [outcome["mae"] for outcome in results["outcomes"]] == [list(outcome.mae) for outcome in outcomes]
    for outcome in outcomes:
        assert "| " + " | ".join(outcome.row()) + " |" in report
    for picture in ("maps", "features", "losses"):
        assert f"plots/{picture}.png" in report
        assert (tmp_path / "demo/plots" / f"{picture}.png").stat().st_size > 10_000
    assert load_model(demo.student(NO_TRANSFER, 1).best).label == "1/16-csrnet"
