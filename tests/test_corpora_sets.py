"""Sets of texts: manifests, fetching without a network, verifying."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import re
import tarfile
import zipfile

import pytest

from lmzip.corpora import (
    CorpusStore,
    make_manifest,
    manifest_text,
    read_manifest,
    shipped_manifests,
)
from lmzip.corpora.manifest import CorpusFile, Manifest, Source, parse_manifest
from lmzip.errors import CorpusError, UsageError

TEXTS = {"a.txt": b"An apple.\n", "sub/b.txt": b"A bee.\n" * 99, "empty": b""}
HEAD = 'name = "x"\nabout = "a"\nlicence = "l"\n'
FILE = f'[[files]]\npath = "a.txt"\nbytes = 3\nsha256 = "{"0" * 64}"\n'


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def files_of(texts):
    return tuple(CorpusFile(path, len(data), sha256(data)) for path, data in texts.items())


def zipped(path, texts):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in texts.items():
            archive.writestr(name, data)
    return path


def tarred(path, texts, links=()):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in texts.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
            archive.addfile(member)
    return path


def manifest_of(*urls, texts=TEXTS, **source):
    sources = tuple(Source(str(url), **source) for url in urls)
    return Manifest("mine", "about", "none", files=files_of(texts), sources=sources)


@pytest.fixture
def store(tmp_path):
    return CorpusStore(tmp_path / "home")


@pytest.fixture
def folder(tmp_path):
    for path, data in TEXTS.items():
        target = tmp_path / "texts" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    return tmp_path / "texts"


def contents(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def nothing_left(store):
    return [path.name for path in store.folder.iterdir()] == [".mine.lock"]


@pytest.mark.parametrize("manifest", shipped_manifests(), ids=lambda m: m.name)
def test_shipped_manifests_are_sound(manifest):
    assert manifest.about and manifest.licence and manifest.origin.startswith("https://")
    assert (manifest.local is None) == bool(manifest.files) == bool(manifest.sources)
    for file in manifest.files:
        assert file.size_bytes > 0 and re.fullmatch("[0-9a-f]{64}", file.sha256)
        assert "/" not in file.path
    for source in manifest.sources:
        assert source.url.startswith("https://") and source.size_bytes and source.sha256
    assert parse_manifest(manifest_text(manifest), "again") == manifest


def test_the_standard_sets_are_there_and_whole():
    sizes = {m.name: (len(m.files), m.size_bytes) for m in shipped_manifests()}
    assert sizes.pop("licences") == sizes.pop("python-stdlib") == (0, 0)
    assert sizes.pop("enwik8") == sizes.pop("text8") == (1, 100_000_000)
    assert sizes.pop("calgary") == (18, 3_251_493)
    assert sizes.pop("canterbury") == (11, 2_810_784)
    assert sizes.pop("silesia-texts") == (6, 118_783_476)
    assert not sizes


@pytest.mark.corpora
def test_the_standard_texts_are_the_standard_texts(corpora):
    checked = []
    for manifest in shipped_manifests():
        for file in manifest.files:
            path = corpora / "eval" / file.path
            if path.is_file():
                data = path.read_bytes()
                assert (len(data), sha256(data)) == (file.size_bytes, file.sha256)
                checked.append(file.path)
    assert checked


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = ", "not valid TOML"),
        (HEAD, "does not name any files"),
        (HEAD.replace('"x"', '"../x"') + FILE, "not a valid name"),
        (HEAD.replace('licence = "l"\n', "") + FILE, "'licence' is missing"),
        (HEAD.replace('"l"', '" "') + FILE, "'licence' is empty"),
        (HEAD + "wrong = 1\n" + FILE, "unknown key 'wrong'"),
        (HEAD + "files = [1]\n", "not a table"),
        (HEAD + FILE + FILE, "twice"),
        (HEAD + FILE.replace("3", '"3"'), r"files\[1\]: 'bytes' must be of type int"),
        (HEAD + FILE.replace("3", "true"), "'bytes' must be of type int"),
        (HEAD + FILE.replace("3", "-3"), "negative"),
        (HEAD + FILE.replace("000", "0g0"), "'sha256'"),
        (HEAD + FILE.replace("000", "00"), "'sha256'"),
        (HEAD + FILE.replace("a.txt", "../a.txt"), "not a path below"),
        (HEAD + FILE.replace("a.txt", "/a.txt"), "not a path below"),
        (HEAD + FILE.replace("a.txt", "b//a.txt"), "not a path below"),
        (HEAD + FILE.replace("a.txt", r"b\\a.txt"), "character"),
        (HEAD + FILE.replace("a.txt", "c:a.txt"), "character"),
        (HEAD + FILE.replace("a.txt", r"a\u0000"), "character"),
        (HEAD + FILE + '[[sources]]\nurl = "ftp://x/y.zip"\n', "not an http"),
        (HEAD + FILE + '[local]\nroot = "/x"\ninclude = ["*"]\n', "'local' cannot be combined"),
        (HEAD + '[local]\nroot = "x"\ninclude = ["*"]\n', "absolute"),
        (HEAD + '[local]\nroot = "/x"\ninclude = []\n', "does not name any files"),
        (HEAD + '[local]\nroot = "/x"\ninclude = [1]\n', "list of texts"),
    ],
)
def test_wrong_manifests(text, problem):
    with pytest.raises(CorpusError, match=problem) as error:
        parse_manifest(text, "x.toml")
    assert str(error.value).startswith("x.toml: ") and "\n" not in str(error.value)


def test_a_manifest_of_ones_own(folder, tmp_path):
    (folder / ".hidden").write_text("not this")
    (folder / 'odd "ü\u00a0".txt').write_text("quoted")
    manifest = make_manifest(folder, "mine", licence='my "own"', about="line\nline\x7f")
    names = ["a.txt", "empty", 'odd "ü\u00a0".txt', "sub/b.txt"]
    assert [file.path for file in manifest.files] == names
    place = tmp_path / "m" / "mine.toml"
    place.parent.mkdir()
    place.write_text(manifest_text(manifest, beside=place.parent), "utf-8")
    again = read_manifest(place)
    assert again.folder == place.parent / ".." / "texts"
    assert dataclasses.replace(again, folder=folder) == manifest
    for bad in (tmp_path / "none", place.parent / "empty"):
        with pytest.raises(UsageError):
            make_manifest(bad, "mine")
    with pytest.raises(UsageError, match="not a valid name"):
        make_manifest(folder, "my own")
    (folder / "back\\slash").touch()
    with pytest.raises(UsageError, match="character"):
        make_manifest(folder, "mine")


@pytest.mark.parametrize(
    ("make", "name"), [(zipped, "x.zip"), (tarred, "x.tar.gz"), (tarred, "x.tgz")]
)
def test_get_from_archives(store, tmp_path, make, name):
    archive = make(tmp_path / name, TEXTS | {"other.txt": b"not named", "../evil.txt": b"evil"})
    data = archive.read_bytes()
    pinned = {"size_bytes": len(data), "sha256": sha256(data)}
    calls = []
    for manifest in (manifest_of(archive.as_uri()), manifest_of(archive.as_uri(), **pinned)):
        target = store.get(manifest, force=True, progress=lambda *call: calls.append(call))
        assert target == store.folder / "mine"
        assert contents(target) == TEXTS
    assert calls and all(0 <= done <= total for _, done, total in calls)
    assert not list(tmp_path.rglob("evil.txt"))
    archive.unlink()
    assert store.get(manifest) == target  # it is there already


def test_get_from_files_and_places_of_ones_choice(store, folder, tmp_path):
    archive = zipped(tmp_path / "x.zip", TEXTS)
    (tmp_path / "mirror").mkdir()
    tarred(tmp_path / "mirror" / "set.tar.gz", TEXTS)
    far = manifest_of("http://localhost:1/set.tar.gz")
    offline = CorpusStore(store.folder.parent, offline=True)
    for place in (folder, archive, tmp_path / "mirror", f"{folder.as_uri()}/", folder.as_uri()):
        assert contents(offline.get(far, origin=str(place), force=True)) == TEXTS
    assert contents(store.get(manifest_of(f"{folder.as_uri()}/"), force=True)) == TEXTS
    one = manifest_of((folder / "a.txt").as_uri(), texts={"a.txt": TEXTS["a.txt"]})
    assert contents(store.get(one, force=True)) == {"a.txt": TEXTS["a.txt"]}
    part = zipped(tmp_path / "y.zip", {"a.txt": TEXTS["a.txt"]}).as_uri()
    apart = manifest_of(part, archive.as_uri())
    assert contents(store.get(apart, force=True)) == TEXTS


def test_nothing_wrong_is_kept(store, folder, tmp_path):
    wrong = TEXTS | {"a.txt": b"An opple.\n"}
    links = {path: data for path, data in TEXTS.items() if path != "a.txt"}
    (tmp_path / "no.zip").write_bytes(b"no archive")
    (tmp_path / "cut.tar.gz").write_bytes(tarred(tmp_path / "t.tgz", TEXTS).read_bytes()[:120])
    good = zipped(tmp_path / "good.zip", TEXTS).as_uri()
    cases = [
        (manifest_of(zipped(tmp_path / "1.zip", wrong).as_uri()), "SHA-256"),
        (manifest_of(tarred(tmp_path / "1.tar.gz", wrong).as_uri()), "SHA-256"),
        (manifest_of(zipped(tmp_path / "2.zip", TEXTS | {"a.txt": b"An"}).as_uri()), "2 bytes"),
        (manifest_of(zipped(tmp_path / "3.zip", TEXTS | {"a.txt": b"A" * 99}).as_uri()), "more"),
        (manifest_of(zipped(tmp_path / "4.zip", links).as_uri()), "does not contain a.txt"),
        (manifest_of(tarred(tmp_path / "5.tgz", links, ["a.txt"]).as_uri()), "not a regular file"),
        (manifest_of(good, sha256="0" * 64), "SHA-256"),
        (manifest_of(good, size_bytes=10), "not 10 bytes"),
        (manifest_of((tmp_path / "no.zip").as_uri()), "no.zip"),
        (manifest_of((tmp_path / "cut.tar.gz").as_uri()), "cut.tar.gz"),
        (manifest_of((tmp_path / "none.zip").as_uri()), "none.zip"),
        (manifest_of("http://localhost:1/x.zip"), "refused"),
        (manifest_of(), "no source"),
    ]
    for manifest, problem in cases:
        with pytest.raises(CorpusError, match=problem) as error:
            store.get(manifest)
        assert "\n" not in str(error.value)
        assert nothing_left(store), problem
    (folder / "a.txt").unlink()
    with pytest.raises(CorpusError, match=r"a\.txt"):
        store.get(manifest_of(), origin=str(folder))
    with pytest.raises(CorpusError, match="offline"):
        CorpusStore(store.folder.parent, offline=True).get(manifest_of("https://x.invalid/x.zip"))
    with pytest.raises(CorpusError, match="no such file"):
        store.get(manifest_of(), origin=str(tmp_path / "nowhere"))
    assert nothing_left(store)
    assert contents(store.get(manifest_of(cases[0][0].sources[0].url, good))) == TEXTS  # a mirror


def test_a_failure_leaves_what_was_there(store, folder, tmp_path):
    target = store.get(manifest_of(), origin=str(folder))
    with pytest.raises(CorpusError):
        store.get(manifest_of((tmp_path / "none.zip").as_uri()), force=True)
    assert contents(target) == TEXTS
    (target / "a.txt").write_bytes(b"An opple.\n")
    with pytest.raises(CorpusError, match="--force"):
        store.get(manifest_of())
    assert contents(store.get(manifest_of(), origin=str(folder), force=True)) == TEXTS


def test_names_are_not_taken_twice(store, folder):
    with pytest.raises(UsageError, match="another set"):
        store.get(dataclasses.replace(manifest_of(), name="enwik8"), origin=str(folder))
    with pytest.raises(UsageError, match="is not fetched"):
        store.get(store.manifest("licences"))
    for name in ("nobody", "", "../manifests/enwik8", "none.toml"):
        with pytest.raises(UsageError):
            store.manifest(name)


def test_verify(store, folder):
    manifest = manifest_of()
    assert dict(store.verify(manifest)) == dict.fromkeys(TEXTS, "missing")
    target = store.get(manifest, origin=str(folder))
    assert list(store.verify(manifest)) == list(store.verify(manifest, folder)) == []
    (target / "a.txt").write_bytes(b"An opple.\n")
    (target / "empty").write_bytes(b"1")
    (target / "sub" / "b.txt").unlink()
    found = dict(store.verify(manifest))
    assert found["a.txt"].startswith("SHA-256")
    assert found["sub/b.txt"] == "missing"
    assert found["empty"] == "1 bytes instead of 0"
    assert list(store.verify(manifest, folder)) == []
    assert list(CorpusStore(store.folder.parent / "no", extra=[folder]).verify(manifest)) == []


def test_files_of_a_set(store, folder, tmp_path):
    manifest = make_manifest(folder, "mine")
    path = tmp_path / "mine.toml"
    path.write_text(manifest_text(manifest, beside=tmp_path))
    names = [name for name, _ in store.files(str(path))]
    assert names == ["mine/a.txt", "mine/empty", "mine/sub/b.txt"]
    (folder / "empty").write_text("no more")
    with pytest.raises(CorpusError, match="1 of 3 files"):
        store.files(str(path))
    with pytest.raises(CorpusError, match="lmzip corpora get enwik8"):
        store.files("enwik8")
    names = dict(store.files("python-stdlib"))
    assert names["python-stdlib/json/decoder.py"].is_file()
    assert not any(name.startswith("python-stdlib/test/") for name in names)
    assert not any("site-packages" in name for name in names)
