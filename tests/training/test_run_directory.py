"""The run directory: only files of the run are taken away, and errors are named for what they are."""

from __future__ import annotations

import contextlib
import errno
import os
import threading

import filelock
import pytest

from netdeconv.data.config import DataConfig
from netdeconv.training.checkpoint import write_atomically
from netdeconv.training.run_directory import RunDirectory, RunDirectoryError, read_config
from netdeconv.training.session import run
from small_runs import plain_config


def fails(path, error=FileNotFoundError, match="cifar100"):
    """A start that fails during loading."""
    config = plain_config(path, data=DataConfig(dataset="cifar100", data_dir=str(path / "no data")))
    with pytest.raises(error, match=match):
        run(config)


def test_a_start_that_fails_leaves_nothing_and_does_not_refuse_the_next(tmp_path):
    fails(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []
    run(plain_config(tmp_path / "run", epochs=1))


def test_a_start_that_fails_leaves_a_folder_that_existed_and_all_in_it(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    fails(folder)
    assert list(folder.iterdir()) == []
    (folder / "notes.txt").write_text("mine")
    (folder / "environment.json").write_text("mine, too")
    fails(folder)
    assert sorted(file.name for file in folder.iterdir()) == ["environment.json", "notes.txt"]


def test_what_is_put_into_a_new_folder_meanwhile_stays(tmp_path):
    with RunDirectory(tmp_path / "run", name="x") as directory:
        (directory.path / "notes.txt").write_text("mine")
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_links_and_the_current_folder_do_not_hide_the_error(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    fails(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    monkeypatch.chdir(tmp_path / "real")
    config = plain_config(".", data=DataConfig(dataset="cifar100", data_dir=str(tmp_path)))
    with pytest.raises(FileNotFoundError, match="cifar100"):
        run(config)
    (tmp_path / "broken").symlink_to(tmp_path / "nothing")
    fails(tmp_path / "broken", RunDirectoryError, "broken is a link to nothing")
    (tmp_path / "file").touch()
    with pytest.raises(RunDirectoryError, match="is not a folder"):
        RunDirectory(tmp_path / "file", name="x")


def test_a_directory_with_a_run_is_refused_and_one_in_use_until_it_is_free(tmp_path):
    with (
        RunDirectory(tmp_path / "run", name="first"),
        pytest.raises(RunDirectoryError, match="in use by another run"),
    ):
        RunDirectory(tmp_path / "run", name="second")
    config = plain_config(tmp_path / "run", epochs=1)
    run(config)
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    with pytest.raises(RunDirectoryError, match=r"already holds a run: .*--result-path.*--resume"):
        run(config)
    assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
    ending = filelock.FileLock(tmp_path / "run" / "run.lock", thread_local=False)
    ending.acquire()
    threading.Timer(0.3, ending.release).start()
    with RunDirectory(tmp_path / "run", name="next", resume=True) as claimed:
        assert claimed.is_resumed


def interrupted(*directories):
    with contextlib.ExitStack() as stack:
        for directory in directories:
            stack.enter_context(directory)
        raise KeyboardInterrupt


def test_ctrl_c_says_how_the_outermost_goes_on(tmp_path):
    outer = RunDirectory(tmp_path / "outer", name="x")
    with pytest.raises(KeyboardInterrupt, match=r"^stopped before the run began$"):
        interrupted(outer)
    outer = RunDirectory(tmp_path / "outer", name="x")
    outer.write_json("config.json", {})
    with pytest.raises(KeyboardInterrupt, match=r"^stopped before anything was saved; --resume .*outer begins again$"):
        interrupted(outer)
    outer = RunDirectory(tmp_path / "outer", name="x", resume=True, option="--result-path")
    inner = RunDirectory(tmp_path / "outer" / "inner", name="y")
    inner.write_json("config.json", {})
    with pytest.raises(KeyboardInterrupt, match=r"^stopped; --result-path .*outer continues$"):
        interrupted(outer, inner)


def test_what_cannot_be_continued_is_said(tmp_path):
    config = plain_config(tmp_path / "run", epochs=1)
    run(config)
    lines = (tmp_path / "run/metrics.jsonl").read_text()
    environment = (tmp_path / "run/environment.json").read_text()
    (tmp_path / "run/environment.json").write_text(environment[:50])
    with pytest.raises(RunDirectoryError, match=r"environment\.json is damaged: it is no JSON"):
        run(config, resume=True)
    (tmp_path / "run/environment.json").unlink()
    (tmp_path / "run/checkpoint.pt").unlink()
    with pytest.raises(RunDirectoryError, match=r"cannot be continued: its checkpoint\.pt is gone"):
        run(config, resume=True)
    assert (tmp_path / "run/metrics.jsonl").read_text() == lines
    (tmp_path / "run/config.json").write_text("{")
    with pytest.raises(RunDirectoryError, match=r"config\.json is damaged: it is no JSON"):
        read_config(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match="holds no run to resume"):
        RunDirectory(tmp_path, name="x", resume=True)


def test_a_full_disk_is_named_with_the_file_and_keeps_the_old(tmp_path, monkeypatch):
    file = tmp_path / "metrics.jsonl"
    write_atomically(file, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: .*metrics\.jsonl"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_new_directories_have_names_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = [RunDirectory(None, name="vgg11-digits").path for _ in range(3)]
    assert len(set(paths)) == 3
    assert all(path.parent.name == "runs" and "vgg11-digits" in path.name for path in paths)
