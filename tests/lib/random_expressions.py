"""Random expressions over the columns of lib/expressions.py, with few brackets, so that precedence decides."""
import random


class Expressions:
    """Without quotients, DIV and rests of decimals, which are refused by name."""

    def __init__(self, seed):
        self.rng = random.Random(seed)

    def any(self):
        return self.one(self.whole, self.whole, self.number, self.condition)(self.rng.randint(1, 4))

    def one(self, *forms):
        return self.rng.choice(forms)

    def leaf(self, whole):
        return self.one("b", "k", "i", "j", "g", "n", "1", "2", "7", "255", "3L", "1S", *([] if whole else ["d", "e", "f", "c", "2.0D", "1.5"]))

    def whole(self, depth):
        """Whole numbers, with operators of bits."""
        dice = self.rng.random()
        if depth <= 0 or dice < .2:
            return self.leaf(True)
        if dice < .65:
            return f"{self.whole(depth - 1)} {self.one('+', '-', '*', '%', 'DIV', '&', '|', '^', '&', '|', '^', '<<', '>>', '>>>')} {self.whole(depth - 1)}"
        if dice < .75:
            return f"{self.one('~', '- ', '-')}{self.whole(depth - 1)}"
        if dice < .85:
            return f"({self.whole(depth - 1)})"
        if dice < .92:
            return f"CASE WHEN {self.condition(depth - 1)} THEN {self.whole(depth - 1)} ELSE {self.whole(depth - 1)} END"
        return self.one("abs({})", "coalesce(n, {})", "greatest({}, 1)", "shiftright({}, 1)", "CAST({} AS INT)", "if(bo, {}, 1)").format(self.whole(depth - 1))

    def number(self, depth):
        dice = self.rng.random()
        if dice < .6:
            return f"({self.whole(depth)})"
        if depth <= 0 or dice < .7:
            return self.leaf(False)
        if dice < .95:
            return f"{self.number(depth - 1)} {self.one('+', '-', '*')} {self.number(depth - 1)}"
        return f"({self.number(depth - 1)})"

    def condition(self, depth):
        dice = self.rng.random()
        if depth <= 0:
            return self.one("bo", "n IS NULL", "i > 1")
        if dice < .45:
            return f"{self.number(depth - 1)} {self.one('=', '<', '>', '<=', '>=', '<>', '!=', '<=>', '==')} {self.number(depth - 1)}"
        if dice < .55:
            return f"NOT {self.condition(depth - 1)}"
        if dice < .7:
            return f"{self.condition(depth - 1)} {self.one('AND', 'OR')} {self.condition(depth - 1)}"
        if dice < .76:
            return f"{self.whole(depth - 1)} IS {self.one('', 'NOT ')}NULL"
        if dice < .84:
            return f"{self.whole(depth - 1)} {self.one('', 'NOT ')}BETWEEN {self.whole(depth - 2)} AND {self.whole(depth - 2)}"
        if dice < .92:
            return f"{self.whole(depth - 1)} {self.one('', 'NOT ')}IN ({self.whole(depth - 2)}, {self.whole(depth - 2)})"
        return f"({self.condition(depth - 1)})"
