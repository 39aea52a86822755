import java.math.BigDecimal;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.api.AccountsApi;
import org.openapitools.client.api.PaymentsApi;
import org.openapitools.client.model.Amount;
import org.openapitools.client.model.CreateAccountBody;
import org.openapitools.client.model.CreatePaymentBody;
import org.openapitools.client.model.OpeningBalance;
import org.openapitools.client.model.PaymentResponse;
import org.openapitools.client.model.PaymentType;
import org.openapitools.client.model.Provider;

/** Pays by a Java client that openapi-generator made; says what it was answered, as JSON. */
public final class Pay {
  public static void main(String[] arguments) throws Exception {
    var client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    var payments = new PaymentsApi(client);
    var account =
        new AccountsApi(client)
            .createAccount(
                new CreateAccountBody()
                    .userId("generated")
                    .currency(CreateAccountBody.CurrencyEnum.USD)
                    .initialBalance(new OpeningBalance(new BigDecimal("100.5"))),
                null);
    var body =
        new CreatePaymentBody()
            .paymentType(PaymentType.EXTERNAL_PAYMENT)
            .sourceAccountId(account.getId())
            .amount(new Amount("12.34"))
            .currency(CreatePaymentBody.CurrencyEnum.USD)
            .provider(Provider.STRIPE)
            .putMetadataItem("order", 7);
    var made = payments.createPayment(UUID.randomUUID().toString(), body, null, null);
    var got = payments.getPayment(made.getId(), null);
    var page =
        payments.listPayments(
            null, null, null, account.getId(), null, null, null, null, null, null);
    List<UUID> listed = page.getData().stream().map(PaymentResponse::getId).toList();
    Map<String, Object> said =
        Map.of(
            "account", account.getId(),
            "balance", account.getBalance(),
            "payment", made.getId(),
            "source", got.getSourceAccountId(),
            "amount", got.getAmount(),
            "metadata", got.getMetadata(),
            "listed", listed);
    System.out.println(client.getObjectMapper().writeValueAsString(said));
  }
}
