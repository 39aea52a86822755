// Pays by a TypeScript client that openapi-generator made; says what it was answered, as JSON.

import { AccountsApi, Configuration, PaymentType, PaymentsApi, Provider } from "./index";

declare const process: { argv: string[] };

async function pay(basePath: string): Promise<void> {
  const configuration = new Configuration({ basePath });
  const payments = new PaymentsApi(configuration);
  const account = await new AccountsApi(configuration).createAccount({
    createAccountBody: { userId: "generated", currency: "USD", initialBalance: 100.5 },
  });
  const made = await payments.createPayment({
    idempotencyKey: crypto.randomUUID(),
    createPaymentBody: {
      paymentType: PaymentType.ExternalPayment,
      sourceAccountId: account.id,
      amount: "12.34",
      currency: "USD",
      provider: Provider.Stripe,
      metadata: { order: 7 },
    },
  });
  const got = await payments.getPayment({ id: made.id });
  const page = await payments.listPayments({ accountId: account.id });
  console.log(
    JSON.stringify({
      account: account.id,
      balance: account.balance,
      payment: made.id,
      source: got.sourceAccountId,
      amount: got.amount,
      metadata: got.metadata,
      listed: page.data.map((each) => each.id),
    }),
  );
}

pay(process.argv[2]);
