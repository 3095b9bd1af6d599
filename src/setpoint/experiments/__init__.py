"""From a specification to a plan of deduplicated stages, and from the plan to results that survive any interruption."""
