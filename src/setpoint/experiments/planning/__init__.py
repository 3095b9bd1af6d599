"""From a specification to a plan: canonical form, designs, parameters, stages."""
