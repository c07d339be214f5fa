"""What processes tell one another by files."""

from __future__ import annotations

from stflow.model.training._board import Board


def test_rows_come_back_in_order_and_a_torn_one_is_left_out() -> None:
    with Board.open() as board:
        assert board.rows(3) == []
        board.note(3, {"train_loss": 2.0, "val_loss": float("nan")})
        board.note(3, {"train_loss": 1.0})
        board.note(4, {"train_loss": 7.0})
        with (board.path / "flow-3.jsonl").open("a") as stream:
            stream.write('{"train_l')
        assert [row["train_loss"] for row in board.rows(3)] == [2.0, 1.0]
        assert not board.asked_to_stop
        board.ask_to_stop()
        assert board.asked_to_stop
    assert not board.path.exists()


def test_bars_show_what_was_told(capsys) -> None:
    how = {"total": 4, "unit": "epoch"}
    with Board.open() as board:
        bars = {0: {**how, "desc": "one", "initial": 1}, 1: {**how, "desc": "two"}}
        with board.bars(bars):
            for _ in range(3):
                board.note(0, {"train_loss": 0.5, "val_pearson": 1.0})
    shown = capsys.readouterr().err
    assert "one: 100%" in shown
    assert "4/4" in shown
    assert "train_loss=0.500" in shown
    assert "val_pearson" not in shown
    assert "two:   0%" in shown
