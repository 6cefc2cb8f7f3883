"""Plots of a run: one file with a panel for everything that the log has."""

import pytest

from galvm_hf.train import plots

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure


@pytest.fixture
def drawn(monkeypatch) -> list[Figure]:
    """The figures that are saved."""
    figures, savefig = [], Figure.savefig

    def keep(self, *args, **options):
        figures.append(self)
        savefig(self, *args, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def record(step: int, task: str, **more) -> dict:
    return {"step": step, "task": task, "loss": 1.0 / step, "learning_rate": 1e-3 / step, **more}


def validation(accuracy: float) -> dict:
    return {
        "morphology": {"error": 1 - accuracy, "balanced_accuracy": accuracy},
        "restoration": {"error": 1e-3, "psnr": 30.0},
        "probe": accuracy,
    }


def test_every_panel_is_drawn(tmp_path, drawn):
    shares = {"morphology": 0.6, "restoration": 0.4}
    log = [record(step, ("morphology", "restoration")[step % 2]) for step in range(1, 9)]
    for step, accuracy in ((4, 0.5), (8, 0.75)):
        log[step - 1] |= {"validation": validation(accuracy), "shares": shares}
    plots.plot_run(log, tmp_path)
    assert (tmp_path / "plots.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".*.part"))
    panels = {axes.get_title(): axes for axes in drawn[0].axes if axes.get_title()}
    assert list(panels) == [
        "loss",
        "learning rate",
        "shares",
        "morphology balanced_accuracy",
        "probe",
        "restoration psnr",
    ]
    assert panels["loss"].get_yscale() == "log"
    assert [text.get_text() for text in panels["loss"].get_legend().get_texts()] == ["morphology", "restoration"]
    assert len(panels["shares"].lines) == 2
    assert panels["probe"].lines[0].get_xydata().tolist() == [[4.0, 0.5], [8.0, 0.75]]
    assert len(panels["learning rate"].lines[0].get_xdata()) == 8


def test_a_run_of_one_step_is_drawn_too(tmp_path, drawn):
    plots.plot_run([record(1, "denoise", validation={"denoise": {"error": 0.1, "psnr": 10.0}})], tmp_path)
    assert [axes.get_title() for axes in drawn[0].axes] == ["loss", "learning rate", "denoise psnr"]


def test_losses_are_smoothed_over_the_last_steps(tmp_path, drawn):
    losses = [float(step % 7) + 1 for step in range(120)]
    log = [record(step + 1, "denoise") | {"loss": loss} for step, loss in enumerate(losses)]
    log[-1]["validation"] = {"denoise": {"error": 0.1, "psnr": 10.0}}
    plots.plot_run(log, tmp_path)
    shown = drawn[0].axes[0].lines[0].get_ydata()
    for index in (0, 10, 49, 50, 119):
        window = losses[max(0, index - plots.SMOOTHING_STEPS + 1) : index + 1]
        assert shown[index] == pytest.approx(sum(window) / len(window))
