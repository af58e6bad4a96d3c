"""The pure part: what a study is and decides. No clock, disk, network, global random state, Ray, torch or Optuna."""
