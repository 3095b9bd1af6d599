"""Turn a specification into a plan: canonical form, designs, parameters, stages."""
