"""The deliveries room: signed webhooks."""
