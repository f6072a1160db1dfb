"""The model card that stands beside an exported file."""

from landmarks.export.exporters import MAX_DIFFERENCE, Parity

EXAMPLE = """```python
import cv2
import onnxruntime

session = onnxruntime.InferenceSession("{name}")
photo = cv2.imread("photo.jpg")[None, :, :, ::-1].copy()  # (1, height, width, 3), RGB
points, {certainty} = session.run(None, {{"images": photo{boxes}}})
```"""


def write_card(name: str, facts: dict, parity: Parity, checked_on: str) -> str:
    """Return the card as Markdown.

    Args:
        name: of the exported file.
        facts: what the file says of itself, see `landmarks.export.assemble_export.state_facts`.
        parity: of its check.
        checked_on: the faces of the check, in words.
    """
    config, layout = facts["config"], facts["layout"]
    error = facts["val_mse"]
    boxes = ', "boxes": boxes' if facts["boxed"] else ""
    named = "a name a point stands in the metadata" if layout["regions"] else "numbered from 0"
    regions = ", ".join(f"{key} {a} to {b}" for key, (a, b) in layout["regions"].items())
    lines = [
        card_start(name),
        "",
        f"Finds {facts['num_points']} points of a face in a photo. Made by landmarks "
        f"{facts['version']} from: {facts['description']}.",
        "",
        "| | |",
        "|---|---|",
        "| input `images` | (batch, height, width, 3) uint8, RGB, any size; photos of one batch "
        "are of one size |",
    ]
    if facts["boxed"]:
        lines.append("| input `boxes` | (batch, 4) float32: left, top, right, bottom of the face |")
    what = {
        "confidence": "0 to 1",
        "spread": "pixels that several looks at the face spread over",
        "none": "NaN: this model does not know it",
    }[facts["certainty"]]
    lines += [
        f"| output `points` | (batch, {facts['num_points']}, 2) float32: x and y in the photo's "
        f"own pixels; 0, 0 is the centre of the first |",
        f"| output `{output_name(facts)}` | (batch, {facts['num_points']}) float32: {what} |",
        f"| crop | {config['crop']}, inside the file, to {config['input_size']} px |",
        f"| points | {named} |",
        *([f"| regions | {regions} |"] if regions else []),
        *([f"| validation error | {error:.3f} px² |"] if error else []),
        f"| weights | {facts['weights']} |",
        f"| licence | {facts['licence']} |",
        "",
        f"Checked on {checked_on}: its points differ from the model's own by "
        f"{parity.median:.4f} px at the median and {parity.largest:.4f} px at most; above "
        f"{MAX_DIFFERENCE} px it would have been refused.",
        "",
    ]
    if name.endswith(".onnx"):
        example = EXAMPLE.format(name=name, certainty=output_name(facts), boxes=boxes)
        lines += [example, "", "The metadata hold all of this as JSON under `landmarks`.", ""]
    return "\n".join(lines)


def card_start(name: str) -> str:
    """Return the first line of the card of an exported file of that name."""
    return f"# {name}"


def output_name(facts: dict) -> str:
    """Return the name of the output beside the points."""
    return "spread" if facts["certainty"] == "spread" else "confidence"
