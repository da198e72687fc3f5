"""Stands in for packages that 0.6.1 imports with its metrics and needs for RAGAS' alone: they pull in half of PyPI."""

import importlib.abc
import importlib.machinery
import sys
import types

ABSENT = ("ragas", "langchain_core")


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.split(".")[0] in ABSENT else None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = nothing
        return module

    def exec_module(self, module):
        pass


def nothing(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


sys.meta_path.append(Absent())
