"""How seeds are drawn: truncation, class and noise, as controls of a tab."""

from __future__ import annotations

from typing import Any

import gradio as gr

from stylegan.mix import Mix
from stylegan.model import Model
from stylegan.recipe import Recipe
from stylegan.tabs.tab import Updates
from stylegan.walk import Walk

LOW_PSI, HIGH_PSI = -0.5, 1.5
PSI_INFO = "0 is the average picture; further out is bolder"


class Look:
    """Controls <-> psi, cut, c and noise. Built where it is created, in two steps."""

    def __init__(self, prefix: str, psi_info: str = PSI_INFO) -> None:
        """psi and class; `prefix` begins the ids of the controls on the page."""
        self.prefix = prefix
        self.psi = gr.Slider(
            LOW_PSI,
            HIGH_PSI,
            value=1,
            step=0.01,
            label="Truncation ψ",
            info=psi_info,
            elem_id=f"{prefix}-psi",
            buttons=[],
        )
        self.c = gr.Slider(
            0, 1, step=1, label="Class", visible=False, elem_id=f"{prefix}-c", buttons=[]
        )

    def build_further(self) -> None:
        """The rest, in a fold to which a tab may add its own."""
        with gr.Accordion("Finer controls", open=False, elem_classes="sg-further") as self.further:
            self.cut = gr.Slider(
                0,
                1,
                step=1,
                label="Truncate the first rows only",
                info="early rows hold pose and shape, late ones colour and texture",
                elem_id=f"{self.prefix}-cut",
                buttons=[],
            )
            self.noise = gr.Radio(
                [("as trained", "const"), ("none", "none"), ("from a number", "number")],
                value="const",
                label="Noise",
                elem_id=f"{self.prefix}-noise",
            )
            self.noise_seed = gr.Number(
                0,
                label="Number of the noise",
                precision=0,
                visible=False,
                elem_id=f"{self.prefix}-noise-seed",
            )
        self.boxes = [self.psi, self.cut, self.c, self.noise, self.noise_seed]
        self.outputs = [*self.boxes, self.further]

    def connect(self, **quiet: Any) -> None:
        """The number of the noise is in sight where it counts."""
        self.noise.input(_noise_number, self.noise, self.noise_seed, **quiet)

    def is_emptied(self, values: Updates) -> bool:
        """Whether a box is empty, to be typed into."""
        return any(values[box] is None for box in (self.psi, self.cut, self.c, self.noise_seed))

    def read(self, values: Updates, model: Model) -> dict[str, Any]:
        """psi, cut, c and noise as a recipe takes them; `model` is that which the page shows."""
        noise, cut = values[self.noise], values[self.cut]
        every = isinstance(cut, (int, float)) and cut >= model.num_ws
        return {
            "psi": values[self.psi],
            "cut": None if every else cut,
            "c": values[self.c],
            "noise": values[self.noise_seed] if noise == "number" else noise,
        }

    def set_main(self, value: Recipe | Walk | Mix, model: Model) -> Updates:
        """Outputs that set psi and class to what a value says."""
        psi = value.psi
        return {
            self.psi: gr.Slider(minimum=min(LOW_PSI, psi), maximum=max(HIGH_PSI, psi), value=psi),
            self.c: gr.Slider(
                maximum=max(1, model.c_dim - 1), value=value.c, visible=model.c_dim > 1
            ),
        }

    def set(self, value: Recipe | Walk | Mix, model: Model) -> Updates:
        """Outputs that set every control to what a value says."""
        rows, number = model.num_ws, isinstance(value.noise, int)
        unusual = value.cut != model.config.usual_cut or value.noise != "const"
        return {
            **self.set_main(value, model),
            self.cut: gr.Slider(maximum=rows, value=rows if value.cut is None else value.cut),
            self.noise: "number" if number else value.noise,
            self.noise_seed: gr.Number(value=value.noise if number else 0, visible=number),
            self.further: gr.Accordion(open=unusual),
        }


def _noise_number(kind: str) -> Any:
    return gr.Number(visible=kind == "number")
