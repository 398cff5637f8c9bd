"""What a competent user would write without chatlab, or with another library, to be measured beside it."""
