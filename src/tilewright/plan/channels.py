"""Which of an image's channels a model sees, and as what."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tilewright.contract.colours import COLOUR_SPACES, RGB, is_coloured
from tilewright.contract.jobs import EMPTY, ImageRef
from tilewright.contract.spec import ModelSpec
from tilewright.contract.spelling import near
from tilewright.errors import USAGE, TilewrightError
from tilewright.images.image import Image
from tilewright.preprocess.colour import COMBINED
from tilewright.registry.registry import ResolvedModel

from .params import Params

SHORT = {name[0]: name for name in RGB}
GENERIC = re.compile(r"(channel|chan|ch|c)?[\s:_#-]*\d{1,2}([:_-]\d{1,2})*", re.IGNORECASE)
"""What programs call a channel of which they know no name: ``Channel 0``, ``C2``, ``Ch:0:1``."""
PART = re.compile(r'(?:"[^"]*"|\((?:[^()]|\([^()]*\))*\)|[^,])+')
"""What stands between commas that are neither in quotes nor in brackets."""
CALL = re.compile(r"(\w+)\s*\((.*)\)", re.DOTALL)
NUMBER = re.compile(r"#?([0-9]{1,9})")
SPECIAL = set('",=()#')  # what a name can't have where it is asked for without quotes


@dataclass(frozen=True)
class Asked:
    """The image's channels that are read for one of the model's.

    Parameters
    ----------
    numbers
        Of the image's channels, from 0.
    by
        How several become one: one of `COMBINED`, or "" for a single one.
    """

    numbers: tuple[int, ...]
    by: str = ""


@dataclass(frozen=True)
class Chosen:
    """What is read of an image's channels, as `ImageRef` has it.

    Parameters
    ----------
    read
        The image's channels in the order they are read; `EMPTY` for one of zeros.
    combined
        How many of them in turn become one of the model's, and by what; None where each is one.
    remarks
        What a user should know of it, a sentence each.
    """

    read: tuple[int, ...]
    combined: tuple[tuple[str, int], ...] | None = None
    remarks: tuple[str, ...] = ()


def choose(image: Image, said: str | None, spec: ModelSpec) -> Chosen:
    """Which of an image's channels are read, as the user says or by their names and number.

    Parameters
    ----------
    image
        Has so many channels, and may name them.
    said
        What the user says, as ``--channels``; None for nothing.
    spec
        Says how many channels the model takes, their names and its colour space.

    Raises
    ------
    TilewrightError
        65 or 2, when nobody says which ones, or the image or model hasn't what was said.
    """
    return _said(image, said, spec) if said else _unsaid(image, spec)


def roles(spec: ModelSpec, colours: bool = False) -> tuple[str, ...]:
    """What each channel that is read is for, in the order of reading.

    A model that takes colour, or grey that is made of `colours`, reads red, green and blue, in
    whatever order it wants them then.
    """
    names = spec.channel_names
    if spec.color_space == "GRAY" and colours:
        return RGB
    if not is_coloured(spec.color_space):
        return names or tuple(map(str, range(spec.num_channels)))
    if names and sorted(map(_key, names)) == sorted(RGB):
        return tuple(sorted(names, key=lambda name: RGB.index(_key(name))))
    return names if names and spec.color_space == "RGB" else RGB


def read_as(ref: ImageRef, spec: ModelSpec) -> tuple[str, ...]:
    """What is read for each of the model's channels: ``nucleus = DAPI (1)``, ``segment = none``.

    Parameters
    ----------
    ref
        An image that is planned.
    spec
        Its model's.
    """
    channels, told = list(ref.channels), []
    for by, count in ref.combined or [("", 1)] * len(channels):
        some, channels = [_told(ref, c) for c in channels[:count]], channels[count:]
        told.append(f"{by}({', '.join(some)})" if by else some[0])
    names = roles(spec, colours=len(told) > 1)
    if len(told) == 1:
        shared = ", ".join(names) if is_coloured(spec.color_space) else _role(names[0])
        return (f"{shared} = {told[0]}",)
    return tuple(f"{_role(name)} = {one}" for name, one in zip(names, told, strict=True))


def _role(name: str) -> str:
    return f"channel {name}" if name.isdecimal() else name


def _told(ref: ImageRef, channel: int) -> str:
    if channel == EMPTY:
        return "none"
    name = ref.channel_names[channel] if ref.channel_names else ""
    return f"{' '.join(name.split())} ({channel})" if name else str(channel)


# Without a word from the user


def _unsaid(image: Image, spec: ModelSpec) -> Chosen:
    """By names where the image has all the model's, else in order where that can be meant."""
    there, wanted, space = image.size("C"), spec.num_channels, spec.color_space
    colours = is_coloured(space) or (space == "GRAY" and there == 3)
    if there == 1:
        return Chosen((0,) if colours else (0, *[EMPTY] * (wanted - 1)))
    if not (there == wanted or (there, wanted) == (4, 3) or (colours and there == 3)):
        raise TilewrightError(
            f"{image.path}: has {there} channels ({_listed(image)}), and {spec.model_name} takes "
            f"{wanted}.",
            fix=_say_which(image, spec),
        )
    names = roles(spec, colours)
    by_name = [_called(image, name) for name in names]
    if all(len(found) == 1 for found in by_name):
        return Chosen(tuple(found[0] for found in by_name))
    _check_order(image, spec, names, colours or sorted(map(_key, names)) == sorted(RGB))
    remarks = () if not colours or _is_picture(image) else (_taken(there),)
    return Chosen(tuple(range(len(names))), remarks=remarks or _in_order(image, spec, colours))


def _in_order(image: Image, spec: ModelSpec, colours: bool) -> tuple[str, ...]:
    """A sentence where named channels are taken in order for a model's that are named otherwise."""
    given, names = image.channel_names or (), spec.channel_names or ()
    if colours or len(names) < 2 or all(not n or GENERIC.fullmatch(_key(n)) for n in given):
        return ()
    other = _saying(image, spec, {n: Asked((i,)) for i, n in enumerate(reversed(names))})
    taken = f"Its channels {_listed(image)} are taken in order, as {_joined(names)}."
    return (f"{taken} If that is wrong, say which is which: --channels {shlex.quote(other)}.",)


def _taken(there: int) -> str:
    last = ", and its fourth is left out" if there == 4 else ""
    return (
        f"Its {there} channels have no names that say what they are: the first three are taken as "
        f"red, green and blue{last}. If they aren't, say which is read by --channels."
    )


def _is_picture(image: Image) -> bool:
    """Whether pixels hold their channels together, as colour pictures do, or names say colours."""
    named = {_key(n) for n in image.channel_names or ()}
    return image.axes.index("C") > image.axes.index("X") or set(RGB) <= named


def _check_order(image: Image, spec: ModelSpec, names: Sequence[str], colours: bool) -> None:
    """Refuse to take named channels in order for what their names don't say."""
    given = [_key(n) for n in image.channel_names or ()]
    wanted = [_key(n) for n in names]
    if colours:
        fourth = ["alpha", "a"] if len(given) == 4 else []
        odd = [
            name
            for name, right in zip(given, [[w] for w in wanted] + [fourth], strict=False)
            if name and name not in right and not GENERIC.fullmatch(name)
        ]
    else:
        odd = [n for n, w in zip(given, wanted, strict=False) if n != w and n in wanted]
    if odd:
        raise TilewrightError(
            f"{image.path}: its channels are {_listed(image)}, and {spec.model_name} takes "
            f"{_joined(names)}.",
            fix=_say_which(image, spec),
        )


# As the user says


def _said(image: Image, said: str, spec: ModelSpec) -> Chosen:
    """`nucleus=DAPI,segment=1`, `DAPI`, `2,0,1` or `segment=max(CD45,PanCK)`."""
    pairs = [_pair(image, part, spec) for part in _parts(said)]
    try:
        asked = [(target, _asked(image, source)) for target, source in pairs]
    except NoChannelError as no:
        raise _mended(image, said, spec, no) from None
    names = roles(spec, colours=len(asked) == len(RGB))
    picked: dict[str, Asked] = {}
    for position, (target, one) in enumerate(asked):
        name = names[min(position, len(names) - 1)] if target is None else _role_of(target, names)
        if name is None or name in picked:
            what = f"--channels {said}: {spec.model_name} takes {', '.join(names)}, each once."
            raise _unclear(what, image, spec, _nearest_roles(asked, names))
        picked[name] = one
    if not picked:
        raise _unclear(f"--channels {said!r}: names no channel.", image, spec, {})
    alone = len(picked) == 1 and is_coloured(spec.color_space)
    chosen = list(picked.values()) if alone else [picked.get(n, Asked((EMPTY,))) for n in names]
    return _put_together(said, chosen, spec, _mistakable(image, pairs))


def _put_together(
    said: str, chosen: list[Asked], spec: ModelSpec, remarks: tuple[str, ...]
) -> Chosen:
    """Channels one after the other, and how many of them are one of the model's."""
    read = tuple(number for one in chosen for number in one.numbers)
    if not any(one.by for one in chosen):
        return Chosen(read, remarks=remarks)
    mixed = spec.color_space in ("BGR", "HED") or (spec.color_space == "GRAY" and len(chosen) > 1)
    if mixed or spec.stain_normalization:
        raise TilewrightError(
            f"--channels {said}: {spec.model_name} computes with red, green and blue, so no "
            "channels can be put together for it.",
            fix="Name a single channel for each, or choose another model.",
            code=USAGE,
        )
    return Chosen(read, tuple((one.by, len(one.numbers)) for one in chosen), remarks)


def _parts(said: str) -> list[str]:
    return [part for found in PART.finditer(said) if (part := found[0].strip())]


def _pair(image: Image, part: str, spec: ModelSpec) -> tuple[str | None, str]:
    """What is named for the model, if anything is, and for the image."""
    if _called(image, part) or part.startswith('"') or CALL.fullmatch(part):
        return None, part
    known = {*roles(spec), *roles(spec, colours=True)}
    for name in sorted(known, key=len, reverse=True):  # a name may have a = in it
        left, right = part[: len(name)], part[len(name) :].lstrip()
        if _key(left) == _key(name) and right.startswith("="):
            return name, right[1:].strip()
    left, equals, right = part.partition("=")
    return (left.strip(), right.strip()) if equals else (None, part)


def _role_of(target: str, names: Sequence[str]) -> str | None:
    return next((n for n in names if _key(n) == _key(target)), None)


def _nearest_roles(
    asked: Sequence[tuple[str | None, Asked]], names: Sequence[str]
) -> dict[str, Asked]:
    """What was asked for, each for another of the model's channels: the nearest, or the next."""
    found: dict[str, Asked] = {}
    for target, one in asked:
        free = [n for n in names if n not in found]
        if free:
            found[near(target or "", free) or free[0]] = one
    return found


class NoChannelError(Exception):
    """A word that is no channel of an image, or is several.

    Parameters
    ----------
    word
        What was asked for.
    what, fix
        What is wrong with it, and what to do.
    instead
        What can be asked for in its place.
    """

    def __init__(self, word: str, what: str, fix: str, instead: str) -> None:
        super().__init__(what)
        self.word, self.what, self.fix, self.instead = word, what, fix, instead


def _asked(image: Image, source: str) -> Asked:
    """One of the image's channels, or several and how they become one."""
    call = CALL.fullmatch(source)
    if not call or call[1].lower() not in COMBINED or _called(image, source):
        return Asked((_number(image, source),))
    numbers = tuple(_number(image, part) for part in _parts(call[2]))
    if not numbers:
        raise NoChannelError(source, f"{source} names no channel", "", _word(image, 0))
    return Asked(numbers, call[1].lower() if len(numbers) > 1 else "")


def _number(image: Image, text: str) -> int:
    """A channel by its name, exactly or but for capitals; else by its number."""
    there = image.size("C")
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    name = text[1:-1] if quoted else text
    found = _called(image, name)
    number = None if quoted else NUMBER.fullmatch(name)
    if len(found) == 1:
        return found[0]
    if not found and number and int(number[1]) < there:
        return int(number[1])
    if found:
        what = f"{len(found)} of its channels are called {name!r}: {_joined(map(str, found))}"
        raise NoChannelError(text, what, "Say which one.", _word(image, found[0]))
    names = [n for n in image.channel_names or () if n]
    meant = near(name, names)
    instead = _word(image, _called(image, meant)[0]) if meant else _word(image, 0)
    fix = f"Did you mean {meant!r}?" if meant else _has(image)
    if CALL.fullmatch(text):
        fix = f"Channels are put together by {_joined(COMBINED, 'or')}."
    shown = number[1] if number else name
    raise NoChannelError(text, f"has no channel {shown!r}", fix, instead)


def _mistakable(image: Image, pairs: Sequence[tuple[str | None, str]]) -> tuple[str, ...]:
    """Sentences on what is a channel's name, and was taken so, and another's number."""
    told = []
    for _, word in pairs:
        found = _called(image, word) if word.isdecimal() else []
        if found and found[0] != int(word) < image.size("C"):
            told.append(
                f"{word} in --channels is read as the name of channel {found[0]}; channel {word} "
                f"itself would be #{word}."
            )
    return tuple(told)


# By the model's own parameters


def pick_channels(
    params: Params, choice: ResolvedModel, spec: ModelSpec, values: dict[str, object]
) -> tuple[Params, dict[str, object]]:
    """Channels that the model's own parameters choose, as if ``--channels`` did; the rest of them.

    A parameter of the type `channel` counts if its name is one of the model's channels, e.g.
    `nucleus_channel` or `channel_idx`; its first choice leaves the question open.

    Parameters
    ----------
    params
        The run's.
    choice
        Declares the model's own parameters.
    spec
        Names the model's channels.
    values
        The model's own parameters, as given.

    Raises
    ------
    TilewrightError
        2, when ``--channels`` is given, too.
    """
    names, picked, left = spec.channel_names or (), {}, dict(values)
    for param in choice.params:
        name = param.arg_name.removesuffix("_channel").removesuffix("_idx")
        value = values.get(param.arg_name)
        if param.param_type == "channel" and name in names and value != param.channel_start:
            picked[name] = int(str(value)) - param.channel_start - 1
            left[param.arg_name] = param.channel_start
    if not picked:
        return params, values
    if params.channels is not None:
        raise TilewrightError(
            f"--channels and the model's own parameters ({', '.join(picked)}) both name channels.",
            fix="Leave out the one or the other.",
            code=USAGE,
        )
    picked = {names[0]: 0} | picked
    said = ",".join(f"{name}=#{number}" for name, number in picked.items())
    return params.model_copy(update={"channels": said}), left


# What to say instead


def _mended(image: Image, said: str, spec: ModelSpec, no: NoChannelError) -> TilewrightError:
    """The error for a channel that isn't there, with a command that works."""
    try:
        _said(image, mended := said.replace(no.word, no.instead), spec)
    except TilewrightError:
        mended = _saying(image, spec, _first(image, spec))
    return TilewrightError(
        f"{image.path}: {no.what}.",
        fix=f"{no.fix} For example --channels {shlex.quote(mended)}.".strip(),
    )


def _unclear(what: str, image: Image, spec: ModelSpec, meant: dict[str, Asked]) -> TilewrightError:
    said = _saying(image, spec, meant or _first(image, spec))
    return TilewrightError(what, fix=f"For example --channels {shlex.quote(said)}.", code=USAGE)


def _say_which(image: Image, spec: ModelSpec) -> str:
    """What to do where nobody says which of several channels are read."""
    whole = shlex.quote(_saying(image, spec, _first(image, spec)))
    if not is_coloured(spec.color_space):
        return f"Say which: --channels {whole}."
    alone = shlex.quote(_word(image, 0))
    if not _takes_one(spec):
        several = f"Say which: --channels {whole}." if image.size("C") >= len(RGB) else ""
        return f"{several} It takes colour pictures: for others choose another model.".strip()
    if image.size("C") < len(RGB):
        return f"Say which one it sees: --channels {alone}."
    return f"Say which is which, --channels {whole}, or which one it sees: --channels {alone}."


def _takes_one(spec: ModelSpec) -> bool:
    """Whether a model that takes colour can do with one channel, which is repeated."""
    takes = COLOUR_SPACES[spec.color_space].takes
    return not spec.stain_normalization and (takes is None or 1 in takes)


def _first(image: Image, spec: ModelSpec) -> dict[str, Asked]:
    """The image's channels for the model's: those of its names, and else in order."""
    names, there = roles(spec), image.size("C")
    called = {n: _called(image, n) for n in names}
    sure = {n: Asked((found[0],)) for n, found in called.items() if len(found) == 1}
    taken = {one.numbers[0] for one in sure.values()}
    left = iter([c for c in range(there) if c not in taken])
    given = ((n, sure.get(n) or Asked((next(left, EMPTY),))) for n in names)
    return {n: one for n, one in given if one.numbers[0] != EMPTY}


def _saying(image: Image, spec: ModelSpec, wanted: dict[str, Asked]) -> str:
    """What asks for this by ``--channels``, before a shell's quotes."""
    words = {}
    for name, one in wanted.items():
        inside = ",".join(_word(image, number) for number in one.numbers)
        words[name] = f"{one.by}({inside})" if one.by else inside
    alone = len(words) == 1 and (is_coloured(spec.color_space) or spec.num_channels == 1)
    if alone or any(set(',()"') & set(name) for name in words):
        return ",".join(words.values())
    return ",".join(f"{name}={word}" for name, word in words.items())


def _word(image: Image, number: int) -> str:
    """What asks for a channel: its name where that is plain and its own, else its number."""
    name = image.channel_names[number] if image.channel_names else ""
    plain = name and name.isprintable() and not SPECIAL & set(name) and not NUMBER.fullmatch(name)
    if plain and _called(image, name) == [number]:
        return name
    return f"#{number}" if _called(image, str(number)) else str(number)


# Names


def _key(name: str) -> str:
    """What is the same in names that differ in capitals, accents' encoding or spaces around."""
    key = unicodedata.normalize("NFC", name.strip()).casefold()
    return SHORT.get(key, key)


def _called(image: Image, name: str) -> list[int]:
    """The channels of a name: exactly, or else but for capitals."""
    names = image.channel_names or ()
    exact = [i for i, n in enumerate(names) if n and _same(n) == _same(name)]
    return exact or [i for i, n in enumerate(names) if n and _key(n) == _key(name)]


def _same(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip())


def _has(image: Image) -> str:
    named = image.channel_names is not None
    return f"{'It has' if named else 'Its channels have no names, only numbers:'} {_listed(image)}."


def _listed(image: Image) -> str:
    """An image's channels, for a sentence: by names, and those that have none by number."""
    there = image.size("C")
    if not image.channel_names:
        return f"0 to {there - 1}" if there > 2 else _joined(map(str, range(there)))
    return _joined(" ".join(n.split()) or str(i) for i, n in enumerate(image.channel_names))


def _joined(words: Iterable[str], last: str = "and") -> str:
    *most, end = words
    return f"{', '.join(most)} {last} {end}" if most else end
