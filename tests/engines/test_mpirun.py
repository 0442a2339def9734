"""How a rank of mpirun finds the others: by what OpenMPI and rank 0 say."""

import os
import tempfile

import pytest

from mindssd.engines.mindspore import mpi
from mindssd.engines.mindspore.cluster import MindSporeCluster
from mindssd.engines.mindspore.mpi import adopt_mpi
from mindssd.errors import EngineError


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    for name in ("MS_ROLE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def test_mpirun_on_several_hosts_is_refused_with_the_way_out(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setenv("OMPI_COMM_WORLD_LOCAL_SIZE", "2")
    with pytest.raises(EngineError, match=r"several hosts.*docs/distributed\.md"):
        adopt_mpi()


def test_one_rank_of_mpirun_is_alone(monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "1")
    adopt_mpi()
    assert "MS_ROLE" not in os.environ


@pytest.fixture
def rank_of_mpirun(monkeypatch, tmp_path):
    """Rank 1 of two, whose rank 0 never comes."""
    variables = {
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "PMIX_NAMESPACE": "job",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(mpi, "RENDEZVOUS_S", 0.1)


def test_a_port_that_another_user_could_have_written_is_not_believed(rank_of_mpirun, tmp_path):
    """Names in the temporary folder can be foreseen, and files of these names be put there."""
    for name in (f"mindssd-{os.getuid()}-job", "rendezvous-job"):
        (tmp_path / name).write_text("8118")
    with pytest.raises(EngineError, match="rank 0 did not say its port"):
        adopt_mpi()
    folder = tmp_path / f"mindssd-{os.getuid()}"
    assert folder.stat().st_mode & 0o077 == 0
    (folder / "rendezvous-job").write_text("8118")
    folder.chmod(0o777)
    with pytest.raises(EngineError, match=r"may be written to by others.*or set TMPDIR"):
        adopt_mpi()
    assert "MS_ROLE" not in os.environ


def test_a_rank_of_mpirun_meets_the_others_where_rank_0_says(rank_of_mpirun, tmp_path, monkeypatch):
    folder = tmp_path / f"mindssd-{os.getuid()}"
    folder.mkdir(mode=0o700)
    (folder / "rendezvous-job").write_text("8118")
    for name in MindSporeCluster(2, 0).worker_environment(1):
        monkeypatch.setenv(name, "")  # so that they are taken back
        monkeypatch.delenv(name)
    adopt_mpi()
    assert (os.environ["MS_SCHED_PORT"], os.environ["MS_NODE_ID"]) == ("8118", "1")
