"""A local page that shows the experiments of a workspace while they run. It only reads."""
