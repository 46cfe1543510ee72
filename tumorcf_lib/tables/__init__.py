"""Every published table as a pure function of published rows; nothing here sees a slice."""
