import numpy as np
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.method import Method, Session
from isegbench.harness.registry import methods
from isegbench.harness.types import Click

GROWING = '''
import numpy as np
from isegbench.harness.method import Method

class Growing(Method):
    """One row of the image more than its previous mask has, up to `most`; counts its calls."""
    opening = "click"
    threshold = 0.4
    departures = ("grows",)

    def __init__(self, most: int = 100, extra: int = 0) -> None:
        self.most, self.extra, self.calls = most, extra, []

    def batch_key(self, session):
        return session.shape, int(self.rows(session) % 2)

    def rows(self, session):
        return 0 if session.previous is None else int((session.previous[:, 0] > 0.4).sum())

    def predict(self, sessions):
        assert len({self.batch_key(session) for session in sessions}) == 1
        self.calls.append(len(sessions))
        found = []
        for session in sessions:
            rows = min(self.rows(session) + 1, self.most + len(session.clicks) - 1)
            map_ = np.zeros(session.shape, np.float32)
            map_[:rows] = 0.9
            found.append(map_)
        return found
'''


@pytest.fixture
def growing(tmp_path):
    path = tmp_path / "growing.py"
    path.write_text(GROWING)
    return f"{path}:Growing"


def session(clicks=1, width=30):
    return Session(np.zeros((50, width, 3), np.uint8), (Click(1, 1, "positive"),) * clicks)


def rows(found):
    return int((found[:, 0] > 0.4).sum())


def test_a_first_click_is_predicted_again_and_later_ones_once(growing):
    method = methods.build(f"cfr:steps=3,inner={growing}")
    one = session()
    method.begin(one)
    (found,) = method.predict([one])
    assert (rows(found), len(method.inner.calls)) == (4, 4)
    # What the engine sees of the session is as it was.
    assert one.previous is None
    two = session(clicks=2)
    assert rows(method.predict([two])[0]) == 1


def test_it_stops_where_the_mask_stays(growing):
    method = methods.build(f"cfr:inner={growing}:most=2")
    assert rows(method.predict([session()])[0]) == 2
    # The first, one that changed the mask, one that did not.
    assert len(method.inner.calls) == 3
    stubborn = methods.build(f"cfr:adaptive=no,inner={growing}:most=2")
    stubborn.predict([session()])
    assert len(stubborn.inner.calls) == 5


def test_twenty_pixels_are_no_change(growing):
    method = methods.build(f"cfr:inner={growing}")
    assert rows(method.predict([session(width=20)])[0]) == 2
    method = methods.build(f"cfr:inner={growing}")
    assert rows(method.predict([session(width=21)])[0]) == 5


def test_a_batch_gives_what_one_at_a_time_gives(growing):
    def sessions():
        return [session(), session(clicks=2), session()]

    method = methods.build(f"cfr:inner={growing}:most=3,clicks=2")
    alone = [rows(method.predict([one])[0]) for one in sessions()]
    assert [rows(found) for found in method.predict(sessions())] == alone == [3, 4, 3]


def test_it_is_as_its_inner_method_is(growing):
    method = methods.build(f"cfr:inner={growing}:most=7;extra=3")
    assert (method.inner.most, method.inner.extra) == (7, 3)
    assert isinstance(method, Method)
    assert (method.opening, method.threshold, method.weights) == ("click", 0.4, None)
    assert method.departures == ("grows", "predicts up to 4 times again after the first click")


def test_an_unknown_inner_method_is_refused():
    with pytest.raises(UserError, match="unknown method 'ritmm'"):
        methods.build("cfr:inner=ritmm")
