"""The registry: a folder of models with immutable, verifiable versions and movable aliases.

Importing it is cheap: torch comes in when weights are written or read.
"""

from sweep.registry.aliases import Aliases, Pointing, check_alias_name
from sweep.registry.environment import environment_facts
from sweep.registry.layout import ModelFolder, Version, check_model_name
from sweep.registry.manifest import Manifest, read_curve
from sweep.registry.models import folder_of, list_models, list_versions, model_folder, resolve
from sweep.registry.opening import check_writable, open_registry
from sweep.registry.promotion import Source, Verdict, if_better, meets_minimum, promote
from sweep.registry.verification import Problem, verify
from sweep.registry.weights import load_weights

__all__ = [
    "Aliases",
    "Manifest",
    "ModelFolder",
    "Pointing",
    "Problem",
    "Source",
    "Verdict",
    "Version",
    "check_alias_name",
    "check_model_name",
    "check_writable",
    "environment_facts",
    "folder_of",
    "if_better",
    "list_models",
    "list_versions",
    "load_weights",
    "meets_minimum",
    "model_folder",
    "open_registry",
    "promote",
    "read_curve",
    "resolve",
    "verify",
]
