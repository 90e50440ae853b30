import pytest, random
from tests.functional.test_store_github import *
from tests.functional.test_store_github import github  # noqa
@pytest.mark.parametrize("n", range(12))
@pytest.mark.parametrize("same", [False, True])
def test_loop(github, same, n):
    from tests.hub.faults import Fault
    r = random.Random(n)
    for _ in range(60):
        github.faults.add(Fault(method=".*", skip=r.randrange(4), delay=r.random()*0.2))
    test_eight_publishers_at_once.__wrapped__(github, same, bool(n%2)) if hasattr(test_eight_publishers_at_once,'__wrapped__') else test_eight_publishers_at_once(github, same, bool(n%2))
