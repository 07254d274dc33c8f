"""Names for methods, data sets and simulators, and the objects that `name:key=value` builds."""

import importlib
import importlib.util
import inspect
import logging
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from .errors import IsegbenchError, UserError, nearest

T = TypeVar("T")

_KEY_VALUE = re.compile(r"([A-Za-z_][\w-]*)=(.*)", re.DOTALL)
#: path/to/file.py:Attribute; `name:key=file.py:...` does not match.
_FILE = re.compile(
    r"(?![\w-]+:[\w-]+=)(?P<path>.+?\.py):(?P<attribute>[A-Za-z_]\w*)(?::(?P<rest>.*))?$",
    re.DOTALL,
)

_log = logging.getLogger(__name__)
_OURS = "isegbench"
#: Where a module from a user's file keeps the source that it was made from.
_SOURCE = "__isegbench_source__"
#: What importing somebody's module may raise; Ctrl-C is not among it.
_ANY_FAILURE = (Exception, SystemExit)


@dataclass(frozen=True)
class Spec:
    """A parsed `name:value,key=value`: a factory and its parameters.

    name: a registered name, or `path/to/file.py:Attribute`. positional: the value without a key
    (`folder:PATH`), or None. params: the others, as strings from the command line or as TOML
    values. label: a name of the user's choice for traces and tables, or None.
    """

    name: str
    positional: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    label: str | None = None

    @classmethod
    def of(cls, given: "Spec | str | dict[str, Any]") -> "Spec":
        """A spec from the form of the command line, or from a TOML table with `name` and `label`.

        Raises UserError for a table without a name.
        """
        if isinstance(given, Spec):
            return given
        if isinstance(given, str):
            return cls.parse(given)
        values = dict(given)
        if not isinstance(values.get("name"), str):
            raise UserError(f'{given!r}: a table needs a name = "..."')
        spec = cls.parse(values.pop("name"))
        label = values.pop("label", None)
        if label is not None and not (isinstance(label, str) and label.strip()):
            raise UserError(f'{given!r}: label = {label!r}: must be text, such as "mine"')
        params = {key.replace("-", "_"): value for key, value in values.items()}
        return cls(spec.name, spec.positional, spec.params | params, label)

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Parse the form of the command line.

        Raises UserError when a part is neither `key=value` nor a single leading value.

        >>> Spec.parse("geodesic:radius=3")
        Spec(name='geodesic', positional=None, params={'radius': '3'})
        >>> Spec.parse("folder:my/photos,ignore=128").positional
        'my/photos'
        """
        file = _FILE.match(text)
        if file:
            name, rest = f"{file['path']}:{file['attribute']}", file["rest"] or ""
        else:
            name, _, rest = text.partition(":")
        positional: str | None = None
        params: dict[str, Any] = {}
        for index, part in enumerate(rest.split(",") if rest else []):
            pair = _KEY_VALUE.match(part)
            if pair:
                key = pair[1].replace("-", "_")
                if key in params:
                    raise UserError(f"{text!r}: the key {pair[1]!r} is given twice")
                params[key] = pair[2]
            elif index == 0:
                positional = part
            else:
                raise UserError(f"{text!r}: {part!r} is not of the form key=value")
        return cls(name, positional, params)

    def __str__(self) -> str:
        """The canonical form: keys sorted. It names the object in traces and tables."""
        file = _FILE.match(self.name)
        return self._joined(f"{Path(file['path']).name}:{file['attribute']}" if file else self.name)

    @property
    def full(self) -> str:
        """The canonical form that can be parsed again: a file has its whole path."""
        return self._joined(self.name)

    def _joined(self, name: str) -> str:
        parts = [] if self.positional is None else [self.positional]
        parts += [f"{key}={_plain(value)}" for key, value in sorted(self.params.items())]
        return f"{name}:{','.join(parts)}" if parts else name


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class Resolved(Generic[T]):
    """A method, data set or simulator that a user gave.

    label: its name in traces and tables. spec: the text that builds the same again; for a class or
    an object only its name. build: builds it, on any machine. made_by: the class or function that
    builds it, with the parameters `given`; None for an object.
    """

    label: str
    spec: str
    build: Callable[[], T]
    made_by: Callable[..., T] | None = None
    given: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recipe(Generic[T]):
    """Builds the object of a spec on any machine: pickling sends the factory, not its name."""

    factory: Callable[..., T]
    spec: Spec
    kind: str
    base: type[T]
    context: dict[str, Any]

    def given(self) -> dict[str, Any]:
        """The parameters that the spec gives, converted. Raises UserError as `bind` does."""
        bound = bind(f"{self.kind} {self.spec.name}", self.factory, self.spec, self.context)
        return {name: value for name, value in bound.items() if name not in self.context}

    def __call__(self) -> T:
        built = build_with(self.factory, self.spec, self.kind, self.context)
        return _checked(f"{self.kind} {self.spec.label or self.spec}", built, self.base)


class Registry(Generic[T]):
    """Factories of one kind by name, from decorators and entry points.

    An entry point in the group `isegbench.<kind>s` is either `name = "package.module:factory"`,
    or `anything = "package.module"`, a module that registers its names when imported.
    """

    def __init__(self, kind: str, group: str) -> None:
        self.kind = kind
        self.group = group
        self._factories: dict[str, Callable[..., T] | str] = {}
        self._filled = False
        #: The entry point whose names are being added, and who added each name.
        self._plugin: str | None = None
        self._plugin_of: dict[str, str | None] = {}

    def register(self, name: str) -> Callable[[Callable[..., T]], Callable[..., T]]:
        """Decorator that gives a class or function a name. Raises UserError if it is taken."""

        def decorate(factory: Callable[..., T]) -> Callable[..., T]:
            self._add(name, factory)
            return factory

        return decorate

    def register_lazily(self, name: str, target: str) -> None:
        """Give `package.module:attribute` a name; it is imported at its first use."""
        self._add(name, target)

    def names(self) -> list[str]:
        """All registered names, sorted."""
        self._fill()
        return sorted(self._factories)

    def items(self) -> Iterator[tuple[str, Callable[..., T]]]:
        """(name, factory) of all registered factories that can be imported, by name."""
        for name in self.names():
            try:
                yield name, self.factory(name)
            except UserError as error:
                self.leave_out(name, error)

    def factory(self, name: str) -> Callable[..., T]:
        """The factory called `name`, or the attribute that `path/to/file.py:Attribute` names."""
        if _FILE.match(name):
            return self._from_file(name)
        factory = self.target(name)
        if isinstance(factory, str):
            module, _, attribute = factory.partition(":")
            try:
                factory = getattr(importlib.import_module(module), attribute)
            except _ANY_FAILURE as error:
                raise UserError(
                    f"{self.kind} {name!r} cannot be imported from {factory}: {_reason(error)}"
                ) from error
            self._factories[name] = factory
        return factory

    def leave_out(self, name: str, problem: UserError) -> None:
        """Forget a name that cannot be imported; a warning says so, once.

        problem: raised again where the name is isegbench's own.
        """
        plugin = self._plugin_of.get(name)
        if plugin is None or plugin.startswith(f"{_OURS}:"):
            raise problem
        self._report(plugin, str(problem))
        del self._factories[name]

    def target(self, name: str) -> Callable[..., T] | str:
        """The factory called `name`, or `module:attribute` if it is not imported yet."""
        self._fill()
        if name not in self._factories:
            raise UserError(f"unknown {self.kind} {name!r}: {nearest(name, self._factories)}")
        return self._factories[name]

    def build(self, spec: Spec | str, **context: Any) -> T:
        """Build the object of a spec.

        context: values for parameters of the factory that the spec does not give, such as
        `data_root`. Strings become the annotated types of the parameters. Raises UserError for
        unknown names, unknown keys and bad values.
        """
        spec = Spec.parse(spec) if isinstance(spec, str) else spec
        return build_with(self.factory(spec.name), spec, self.kind, context)

    def resolve(self, given: Any, base: type[T], **context: Any) -> Resolved[T]:
        """The name, the spec and the builder of the object that a user gave.

        given: a Spec, `name:key=value`, a TOML table with `name`, a class or an object. base: the
        class of the object. context: as for `build`. Raises UserError for anything else, here or
        when it is built.
        """
        if isinstance(given, (Spec, str, dict)):
            spec = Spec.of(given)
            recipe = Recipe(self.factory(spec.name), spec, self.kind, base, context)
            label = spec.label or str(spec)
            return Resolved(label, spec.full, recipe, recipe.factory, recipe.given())
        if isinstance(given, type):
            name = given.__name__
            build: Callable[[], T] = given
            made_by = given
            if not issubclass(given, base):
                raise UserError(_not_a(f"{self.kind} {name}", given, base))
        elif isinstance(given, base):
            name = getattr(given, "name", None) or type(given).__name__
            build = partial(_same, given)
            made_by = None
        else:
            raise UserError(f"{given!r} is not a {self.kind}: give a name, a class or an object")
        return Resolved(name, name, build, made_by)

    def _add(self, name: str, factory: Callable[..., T] | str) -> None:
        known = self._factories.get(name)
        if known is not None and known != factory:
            said = f"two {self.kind}s are called {name!r}: {known} and {factory}"
            if self._plugin is None:
                raise UserError(said)
            self._report(self._plugin, f"{said}; the first is kept")
            return
        self._factories[name] = factory
        self._plugin_of[name] = self._plugin

    def _fill(self) -> None:
        if self._filled:
            return
        self._filled = True
        points = [(_distribution(point), point) for point in entry_points(group=self.group)]
        # What comes first keeps its name: isegbench's own.
        for package, point in sorted(points, key=lambda pair: (pair[0] != _OURS, pair[0])):
            before = dict(self._factories)
            self._plugin = f"{package}: {self.group}: {point.name} = {point.value}"
            try:
                if point.attr:
                    self._add(point.name, point.value)
                else:
                    importlib.import_module(point.module)
            except _ANY_FAILURE as error:
                if package == _OURS:
                    raise
                self._factories = before
                self._report(self._plugin, _reason(error))
            finally:
                self._plugin = None

    def _report(self, plugin: str, reason: str) -> None:
        _log.warning("isegbench: a plug-in is left out (%s): %s", plugin, reason)

    def _from_file(self, name: str) -> Callable[..., T]:
        path, _, attribute = name.rpartition(":")
        module = load_module(Path(path))
        if not hasattr(module, attribute):
            found = [n for n, v in vars(module).items() if inspect.isclass(v)]
            raise UserError(f"{path} has no {attribute!r}: {nearest(attribute, found)}")
        return getattr(module, attribute)


def _distribution(point: Any) -> str:
    return getattr(getattr(point, "dist", None), "name", None) or "unknown package"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _same(built: T) -> T:
    return built


def _checked(what: str, built: Any, base: type[T]) -> T:
    if not isinstance(built, base):
        raise UserError(_not_a(what, type(built), base))
    return built


def _not_a(what: str, found: type, base: type) -> str:
    return f"{what}: {found.__name__} is not a subclass of {base.__name__}"


#: The folders of users' own files that were loaded.
_FOLDERS: set[Path] = set()


def load_module(path: Path) -> Any:
    """Import a user's own file. Raises UserError when it is missing or fails to import.

    The name of the module contains a hash of the path: two files of one name are two modules. A
    file that has changed is imported again. The file can import modules and packages beside it;
    they come before installed ones while it is imported, and after them later.
    """
    resolved = path.expanduser().resolve()
    if not resolved.is_file():
        raise UserError(f"{path}: no such file")
    name = f"isegbench_user_{zlib.crc32(str(resolved).encode()):08x}_{resolved.stem}"
    try:
        source = resolved.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    loaded = sys.modules.get(name)
    if loaded is not None and vars(loaded).get(_SOURCE) == source:
        return loaded
    spec = importlib.util.spec_from_file_location(name, resolved)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    vars(module)[_SOURCE] = source
    sys.modules[name] = module
    try:
        # Not by the loader: its cached bytecode may be of another version of this second.
        with _neighbours_first(resolved.parent):
            exec(compile(source, str(resolved), "exec"), vars(module))
    except BaseException as error:
        del sys.modules[name]
        if not isinstance(error, Exception):
            raise
        raise UserError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def own_modules() -> list[ModuleType]:
    """The imported modules that are users' own: files given by path, and what lies beside them."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("isegbench_user_") or _folder_of(name, module) in _FOLDERS
    ]


@contextmanager
def _neighbours_first(folder: Path) -> Iterator[None]:
    """Import from this folder first; its modules replace those of other users' folders."""
    for name, module in list(sys.modules.items()):
        top = name.partition(".")[0]
        beside = (folder / f"{top}.py").is_file() or (folder / top).is_dir()
        if beside and _folder_of(name, module) in _FOLDERS - {folder}:
            del sys.modules[name]
    _FOLDERS.add(folder)
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _folder_of(name: str, module: Any) -> Path | None:
    """The folder that a module's outermost package, or the module itself, lies in."""
    file = getattr(module, "__file__", None)
    top = name.partition(".")[0]
    if not isinstance(file, str) or top in ("__main__", "isegbench"):
        return None
    # Of a.b.c in F/a/b/c.py or F/a/b/c/__init__.py, the folder is F.
    path = Path(file)
    path = path.parent if path.name == "__init__.py" else path
    return path.parents[name.count(".")] if len(path.parents) > name.count(".") else None


def build_with(factory: Callable[..., T], spec: Spec, kind: str, context: dict[str, Any]) -> T:
    """Call a factory with the values of a spec; parameters and errors as in `Registry.build`."""
    params = bind(f"{kind} {spec.name}", factory, spec, context)
    try:
        return factory(**params)
    except IsegbenchError:
        raise
    except Exception as error:
        raise UserError(
            f"{kind} {spec}: cannot be built: {type(error).__name__}: {error}"
        ) from error


def bind(
    what: str, factory: Callable[..., Any], spec: Spec, context: dict[str, Any]
) -> dict[str, Any]:
    """Keyword arguments for `factory` from a spec: named, checked and converted.

    Raises UserError for an unknown key, a missing key, or a value that does not match its
    annotation.
    """
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    signature = inspect.signature(factory, eval_str=True)
    accepted = {
        name: parameter
        for name, parameter in signature.parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    public = [name for name in accepted if name not in context]
    given = dict(spec.params)
    if spec.positional is not None:
        if not public:
            raise UserError(f"{what} takes no value, but {spec.positional!r} was given")
        if public[0] in given:
            raise UserError(f"{what}: {public[0]} is given twice")
        given[public[0]] = spec.positional
    for key in given:
        if key not in accepted:
            raise UserError(f"{what} has no parameter {key!r}: {nearest(key, public)}")
    for name, parameter in accepted.items():
        if name in given:
            annotation = parameter.annotation
            if annotation is parameter.empty:
                annotation = Any
            try:
                adapter = TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
                given[name] = adapter.validate_python(given[name])
            except ValidationError as error:
                problem = error.errors()[0]["msg"]
                raise UserError(f"{what}: {name}={given[name]!r}: {problem}") from error
        elif name in context:
            given[name] = context[name]
        elif parameter.default is parameter.empty:
            raise UserError(f"{what} needs {name}: write {spec.name}:{name}=...")
    return given


methods: "Registry[Any]" = Registry("method", "isegbench.methods")
datasets: "Registry[Any]" = Registry("dataset", "isegbench.datasets")
simulators: "Registry[Any]" = Registry("simulator", "isegbench.simulators")
trainers: "Registry[Any]" = Registry("trainer", "isegbench.trainers")
