"""The model proxy: agents call their models here with their run's token; the keys stay on this side. `application.py` takes requests,
`forwarding.py` passes one on and its answer back, `clients.py` notices agents that went away. A process of its own, without state:
tokens are `app.services.model_tokens`, counting is `app.services.metering`, budgets are `app.services.budgets`."""
