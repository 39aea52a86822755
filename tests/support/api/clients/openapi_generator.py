"""Pays by a Python client that openapi-generator made; says what it was answered, as JSON."""

import json
import sys
import uuid

from payments_client import (  # type: ignore[import-not-found]  # it is generated
    AccountsApi,
    Amount,
    ApiClient,
    Configuration,
    CreateAccountBody,
    CreatePaymentBody,
    OpeningBalance,
    PaymentsApi,
    PaymentType,
    Provider,
)

client = ApiClient(Configuration(host=sys.argv[1]))
payments = PaymentsApi(client)
account = AccountsApi(client).create_account(
    CreateAccountBody(user_id="generated", currency="USD", initial_balance=OpeningBalance(100.5))
)
made = payments.create_payment(
    idempotency_key=str(uuid.uuid4()),
    create_payment_body=CreatePaymentBody(
        payment_type=PaymentType.EXTERNAL_PAYMENT,
        source_account_id=account.id,
        amount=Amount("12.34"),
        currency="USD",
        provider=Provider.STRIPE,
        metadata={"order": 7},
    ),
)
got = payments.get_payment(made.id)
page = payments.list_payments(account_id=account.id)
sys.stdout.write(
    json.dumps(
        {
            "account": str(account.id),
            "balance": account.balance,
            "payment": str(made.id),
            "source": str(got.source_account_id),
            "amount": got.amount,
            "metadata": got.metadata,
            "listed": [str(each.id) for each in page.data],
        }
    )
)
