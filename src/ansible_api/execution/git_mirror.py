"""The bare mirror of a repository, which holds commits without their history."""

from pathlib import Path
from typing import cast

from dulwich.object_store import ObjectStoreGraphWalker
from dulwich.objects import ObjectID
from dulwich.refs import Ref
from dulwich.repo import Repo


class Mirror(Repo):
    """Tells a server that it has the commits of its branches, and nothing of what came before them."""

    def get_graph_walker(self, heads: list[ObjectID] | None = None) -> ObjectStoreGraphWalker:
        """See dulwich, which would claim the parents of commits that came without them."""
        named = self.refs.as_dict(Ref(b"refs/heads")).values() if heads is None else heads
        present = {commit for commit in named if commit in self.object_store}
        return ObjectStoreGraphWalker(
            present,
            lambda _commit: [],
            shallow=self.get_shallow() & present,  # older ones only make the request long
            update_shallow=self.update_shallow,
        )


def open_mirror(path: str) -> Mirror:
    """The mirror at `path`, made when there is none."""
    if Path(path).is_dir():
        return Mirror(path)
    return cast("Mirror", Mirror.init_bare(path, mkdir=True))
