"""How the page looks: colours with a contrast of at least 4.5:1, in light and dark."""

from pathlib import Path

import gradio as gr

CSS = Path(__file__).with_name("style.css")
SCRIPT = Path(__file__).with_name("page.js")
FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]
MONO = ["ui-monospace", "Menlo", "Consolas", "Liberation Mono", "monospace"]


def theme() -> gr.themes.Base:
    """Gradio's soft theme, with darker text and accents."""
    return gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", font=FONTS, font_mono=MONO, radius_size="md"
    ).set(
        background_fill_primary="*neutral_50",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_label_text_color="*primary_700",
        block_title_text_color="*primary_700",
        block_title_text_size="*text_sm",
        color_accent="*primary_600",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_700",
        checkbox_label_background_fill_selected="*primary_600",
        checkbox_label_background_fill_selected_dark="*primary_600",
        block_padding="*spacing_md *spacing_lg",
    )
