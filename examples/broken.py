"""A program that fails: try it with ``errtrack-run python examples/broken.py; errtrack show``."""


def price(order: dict) -> float:
    total = sum(line["price"] * line["count"] for line in order["lines"])
    return total / order["people"]


def main() -> None:
    order = {"id": 17, "people": 0, "lines": [{"price": 4.5, "count": 2}], "api_key": "sk-not-shown"}
    print("each pays", price(order))


if __name__ == "__main__":
    main()
