"""Networks of torchvision and timm, which a user may mean by a name that we do not have."""

from importlib.util import find_spec


def named_in_a_library(name: str) -> tuple[str, str] | None:
    """The library with a classifier of this name, and the words that build it; None for none.

    A library loads only here, because this is for a slip.
    """
    from torchvision import models

    if name in models.list_models(module=models):
        return "torchvision", f"model.net._target_=torchvision.models.{name}"
    if find_spec("timm") is not None:
        from timm import is_model

        if is_model(name):
            return "timm", f"model.net._target_=timm.create_model +model.net.model_name={name}"
    return None
