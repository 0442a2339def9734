"""COCO's format, in the layout of COCO 2017."""

from collections.abc import Iterator

import msgspec

from mindssd.data.convert.parts import Changes, Part


class CocoWriter:
    """Holds all that a data set has."""

    one_folder = False
    by_stem = False

    def image_path(self, part: str, name: str) -> str:
        return f"{part}2017/{name}"

    def fit(self, part: Part, changes: Changes) -> Part:
        return part

    def files(self, parts: list[Part]) -> Iterator[tuple[str, bytes]]:
        for part in parts:
            content = msgspec.json.encode(_content(part))
            yield f"annotations/instances_{part.name}2017.json", content


def _content(part: Part) -> dict[str, object]:
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for picture in part.pictures:
        height, width = picture.size
        size = {"width": width, "height": height} if height else {}
        images.append({"id": picture.image_id, "file_name": picture.name, **size})
        for box, label, area, crowd in zip(
            picture.boxes_xywh.tolist(),
            picture.labels.tolist(),
            picture.areas.tolist(),
            picture.is_crowd.tolist(),
            strict=True,
        ):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": picture.image_id,
                    "category_id": part.category_ids[label - 1],
                    "bbox": box,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    categories = [
        {"id": number, "name": name}
        for number, name in zip(part.category_ids, part.class_names, strict=True)
    ]
    return {"images": images, "annotations": annotations, "categories": categories}
