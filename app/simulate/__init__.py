"""A simulated health system: what wards, warehouses, an ERP and suppliers would publish. Seeded, for demos and load."""
