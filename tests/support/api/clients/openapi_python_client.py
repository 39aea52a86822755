"""Pays by a client that openapi-python-client made; says what it was answered, as JSON."""

import json
import sys
import uuid

from payments_client import Client  # type: ignore[import-not-found]  # it is generated
from payments_client.api.accounts import create_account  # type: ignore[import-not-found]
from payments_client.api.payments import (  # type: ignore[import-not-found]
    create_payment,
    get_payment,
    list_payments,
)
from payments_client.models import (  # type: ignore[import-not-found]
    CreateAccountBody,
    CreateAccountBodyCurrency,
    CreatePaymentBody,
    CreatePaymentBodyCurrency,
    CreatePaymentBodyMetadata,
    PaymentType,
    Provider,
)

client = Client(base_url=sys.argv[1])
account = create_account.sync(
    client=client,
    body=CreateAccountBody(
        user_id="generated", currency=CreateAccountBodyCurrency.USD, initial_balance=100.5
    ),
)
made = create_payment.sync(
    client=client,
    idempotency_key=str(uuid.uuid4()),
    body=CreatePaymentBody(
        payment_type=PaymentType.EXTERNAL_PAYMENT,
        source_account_id=account.id,
        amount="12.34",
        currency=CreatePaymentBodyCurrency.USD,
        provider=Provider.STRIPE,
        metadata=CreatePaymentBodyMetadata.from_dict({"order": 7}),
    ),
)
got = get_payment.sync(made.id, client=client)
page = list_payments.sync(client=client, account_id=account.id)
sys.stdout.write(
    json.dumps(
        {
            "account": str(account.id),
            "balance": account.balance,
            "payment": str(made.id),
            "source": str(got.source_account_id),
            "amount": got.amount,
            "metadata": got.metadata.to_dict(),
            "listed": [str(each.id) for each in page.data],
        }
    )
)
