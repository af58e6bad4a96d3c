"""Train a small network on scikit-learn's handwritten digits. An ordinary script: it knows nothing of sweep.

    python search_spaces/digits.py --lr 0.01 --epochs 9

It prints a line of metrics each epoch, and saves what it needs to go on before it does.
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--save", type=Path, help="folder to save to, and to go on from")
    return parser.parse_args()


def digits(device):
    """(train images, train labels), (val images, val labels): (n, 64) floats in [0, 1]."""
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32, device=device) / 16
    labels = torch.tensor(labels, device=device)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0)).to(device)
    train, val = order[:1437], order[1437:]
    return (images[train], labels[train]), (images[val], labels[val])


def main():
    args = arguments()
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    (images, labels), (val_images, val_labels) = digits(device)
    model = nn.Sequential(
        nn.Linear(64, args.hidden), nn.ReLU(), nn.Dropout(args.dropout), nn.Linear(args.hidden, 10)
    ).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=args.nesterov)
    first = 1
    saved = args.save / "last.pt" if args.save else None
    if saved and saved.exists():
        state = torch.load(saved, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["epoch"] + 1
    for epoch in range(first, args.epochs + 1):
        model.train()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(args.seed + epoch)).to(device)
        for batch in order.split(args.batch_size):
            loss = cross_entropy(model(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            accuracy = (model(val_images).argmax(1) == val_labels).float().mean().item()
        if saved:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
            torch.save(state, saved.with_suffix(".tmp"))
            saved.with_suffix(".tmp").replace(saved)
        print(f"epoch={epoch} train_loss={loss.item():.4f} val_accuracy={accuracy:.4f}")


if __name__ == "__main__":
    main()
