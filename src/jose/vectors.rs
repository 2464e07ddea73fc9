//! Vectors shared by the tests of this module: RFC examples by section, and tokens made with PyJWT and OpenSSL from
//! keys that exist nowhere else.

/// RFC 7515 appendix A.1.
pub const RFC7515_A1: (&str, &str) = (
    r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}"#,
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
);
/// RFC 7515 appendix A.2.
pub const RFC7515_A2: (&str, &str) = (
    r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
    "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
);
/// RFC 7515 appendix A.3.
pub const RFC7515_A3: (&str, &str) = (
    r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
);
/// RFC 7520 section 4.2.
pub const RFC7520_4_2: (&str, &str) = (
    r#"{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","e":"AQAB","n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"}"#,
    "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw",
);
/// RFC 7520 section 4.4.
pub const RFC7520_4_4: (&str, &str) = (
    r#"{"kty":"oct","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037","use":"sig","alg":"HS256","k":"hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg"}"#,
    "eyJhbGciOiJIUzI1NiIsImtpZCI6IjAxOGMwYWU1LTRkOWItNDcxYi1iZmQ2LWVlZjMxNGJjNzAzNyJ9.SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4.s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0",
);
/// RFC 8037 appendix A.4.
pub const RFC8037_A4: (&str, &str) = (
    r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
);

/// The public keys of [`TOKENS`].
pub const KEYS: &str = r#"{"keys":[{"kid":"rsa","use":"sig","kty":"RSA","n":"vPYx7PJl_Hq5iSFKQLup6ue1IuVlI28JAyGX8s08ybh4ZEy_N67zCXFVZ-soWxEmW-E8IrF5Fu1qLOI5Fhu4n5-iJwhrl5rzuzB9MOkIM5x0VsheKWUMf2bjU8D0jQEOs-68GIaXi6IObQfXiuqMbMn90EUjFtDgtnWzlbZGz_PPASEZvF1SSnNbXvK9JnqBENVBZa9uwVPQcVf2g-mDqLvD9TJH7gOjc1py6fGUoeUnPlCJjJ9jxQFc_7aApP6bhAYXUnOqKHBpMasOIvmsUFZlCtgjHGHJz1nnWwG1eV8KK06TEXcsGhxT26guxFEdAmOGZBKui-Lye6NsX8E9Zw","e":"AQAB"},{"kid":"p256","use":"sig","kty":"EC","crv":"P-256","x":"GBeBXqqyo6amc1TJtn4iSei09shzTQE1smDSgTVgWHY","y":"3OJL30y4vIoDgvO5pygrxPHFUpIvG8kyABxoHmFrjfY"},{"kid":"p384","use":"sig","kty":"EC","crv":"P-384","x":"QVVUHSFv395vZAda--Ufmc9PAFZQAmPEDSP0kegtgNtvOUCxQDkLYi9oxQF28JLM","y":"w5_AeBDhVUMY9-yxP_s6iwPcTgHCePTwVdwu37dvJeTQhXORIbDCNIhUpU1zxw7F"},{"kid":"ed","use":"sig","kty":"OKP","crv":"Ed25519","x":"neBBbRtA6EToQlIAh2s5hvWVPoYHEompgOG8zyyQWqQ"}]}"#;
/// The shared secret of the `HS*` tokens.
pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// One token by every algorithm, made with PyJWT: `sub` is `a`, `exp` the year 2100.
pub const TOKENS: [(&str, &str); 12] = [
    (
        "HS256",
        "eyJhbGciOiJIUzI1NiIsImtpZCI6ImhzIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.NjEaLjDsoo21v5jm7G8ghhaMWRmsSUsF5epU7bEyf8Q",
    ),
    (
        "HS384",
        "eyJhbGciOiJIUzM4NCIsImtpZCI6ImhzIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.NT5NDZGe2IQ9sRENu04OA041CjKWkB8uYWR0CBQTNwu_bGHUPXKmsUToHva-3uze",
    ),
    (
        "HS512",
        "eyJhbGciOiJIUzUxMiIsImtpZCI6ImhzIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.WBArXhE8X6CYc3QybhagHiOpsdFiDJ-ELS8ELAehLbQfdUfDv_HzYZ2d5RkBJzTjuVwVYy5p-GdFtUY3RnErxA",
    ),
    (
        "RS256",
        "eyJhbGciOiJSUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.oEBEflFr1-t1aKRlmq5P3Xz-La2TKo1_xwaEwFtBsM7Q-qSIzeRp6-4XZbpP-PgV1welP40_HVLKXJAZl0jiQ88bzKYBfxZYsVf2vU7TbkrDedm76TaVbG36hrcxEDlRnn6IEm-g-C3jlLFkn0dlgBZwpA7KWqiD_p14huh0vKmtgmhFXSCXgfiomYG7CR0Qyc2AFg9uMzYYSmk9nFgsDGog-R_TVNxxn8bB-kklI9fLfAmD5-YugvuPCeFYW9LE-4isqM5QdSoZmVFVpCZkgp2L_iYqKkxGgxUAwF3HuVgKQZDis3ti5N_Q0gg59TJPGyBNkTSlsJAPk4Ie9VnB6w",
    ),
    (
        "RS384",
        "eyJhbGciOiJSUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.fQjn7nNpbxM9qC1eYlpQUaOLLHUGpSMQzp27lIzG6V4F3KyMtpZRl4n6WRpbf-oN17MEN7wt2q-NH8RepGWA4awfw99fpTSbgoDhWzRUYO0LyhX_OtrdfKRyKyXp9lstzyJr-mccnz4cQ8dkTHvueAxQvnmar7Cs-215iORia86_z-aiT4im5W36knyHLzivmCQJvvl9ctL3XUHYGrPsTqXysTu6bNh-Ptp4bxpQ3TAPV4DDrilOvhAWtSspqf63fcKhAmDm4bzefZTVx7dXhygTx-mmuOMSnqXabqQ0QeWqbSI8Dlx5p7pQvSe5z4g6XUJ7fRgAM1yILK2GiPdnmA",
    ),
    (
        "RS512",
        "eyJhbGciOiJSUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.t2IC1K6j7FQjmCBTpR1LnMvaD-IekCTn9XPSVB1n-dbs8E9N0Xgp3XLu8H9wd-Nbaz7EIUgEGmIH6uz5ruZf1KsElwQhmzA2U_XXtO_FbzXnXM4mqdWpWq35Q3F4MPVlQVQshcQ1ZycTnTzKGaNAWlg4ZqtoWqpMszvrXpIKW29c0AX6SXN9L_ACIOZiuNcK-KQt9QSE-7coBg-VPXJGh6qJviQb6rM8tcibS_hv6n12ebM2F4XdBgY_18_7vf6m5GLQ6P8YYj3q9grl_34pvoJdwi8gYJBKuXr3wA_zZlPH56joDjeINI411RwI0QBeVSvqgJWXv7VKgUWhXgCThA",
    ),
    (
        "PS256",
        "eyJhbGciOiJQUzI1NiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.ZjI-1VFI5LMSxMV7qMmD_AHOyKRDNvdKSsVYPocwrUZb8jdjA8rNoGydPo3UaRa02wmk0MHjAEtIdY-l8EuL2Jt5ImQ1mnziQmwptqr3-OqAIf4Bdn5I0IBcJm2uKVx8tlcASrILPkT862jFeoS2OkG5JpU4KVebZ46a-pbldaKCLtjcRNFu5FzosZ54VlCQNtfbsnVwJ4nR-2qhQjg8YGGet-UEsupR5AO2NaHrHHKcemBf_xksXDa1Uvr7svmDtz4gtNHP1AyqXOo17boCN19svJ2r1ip_VtJZnzVlpgJPtcynRKp7Gq9aCzstNVSatamOla7mIBNm2NmJvSyWvg",
    ),
    (
        "PS384",
        "eyJhbGciOiJQUzM4NCIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.QF5KoOHzpgazTBQhy6pG1-a0witxZL99H1kQ66dYiZUmPjpDLAdJR-Hvjhbea1ESlX9FeNJM8nT0DxWKsQhG5fCXfCiubEwpezdDXaoTz_g-lALBoFcmDpHPokUsTn7QUwzZZzdc56rDtXkJuVYaZW1d_g1r9Zrwrnp7sQi4E0kl3HyzDoPcRkZrNy2uAefjHh_54obTiZ0Z_oiVXYDME4VdLfFC-q2s5jPEoDVFyTNpLUKvzGHxxRzrSn6fDA9RSklNfB80L6vcocsjXBqqYatcbnronTg1sFCatGL6kgiBGsBZ9mFravw4Hxteaw2LOo4ljKRwc753dV5U3LB4og",
    ),
    (
        "PS512",
        "eyJhbGciOiJQUzUxMiIsImtpZCI6InJzYSIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.no_hAFneYWV0fJOWxybYyViJZOZTP56l2fdo19DWE8BvjTwKQ-v_4I9Hkl1PmAxZrBy39VrjiwlJP8m_pTiNxUxuMICNKWjmfoU9NAvX1kIfdvba0Ffgyx1qnKfL50fUH0XKcNlK1X_416bWPao73b78V8-mPgWZpzai4laZaq0sytUB-9L9YgNzAEbwWBDVe-5Y2L3TUZcx5pKZdupkT7107M9rSCTvYpFlMIvLy3nugsCfA2BaauQOpZI8YPfEkSOBi6qZYIDYlLPhO2PerEn7QcdjgTaScu6hwWWY3ohmsN3WzdrcvFbvWb0VDeSTqVXV3rmYoe4wntzQe1e-sw",
    ),
    (
        "ES256",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6InAyNTYiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.GCreUzvZDVxVrH73IrCaMrUBiOq6BFcXHaM3kDXHBgFqp8DAQTxW_zzcOgH5h-7ttiwYvIRkFI6QhGcGV35Fgw",
    ),
    (
        "ES384",
        "eyJhbGciOiJFUzM4NCIsImtpZCI6InAzODQiLCJ0eXAiOiJKV1QifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.jIllskzCyCvQS6q-fHN9E_Mgu5X6RYoHInKA0MlrOC79AYJjtS3GZwpOUtC4tBRRbbC_b5L7Zh1B8lqrpwF1s9yEZc8JZLnazU1WRwsp-NPgJBNxYzS2dMlPEeXH8v2x",
    ),
    (
        "EdDSA",
        "eyJhbGciOiJFZERTQSIsImtpZCI6ImVkIiwidHlwIjoiSldUIn0.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwic3ViIjoiYSIsImV4cCI6NDEwMjQ0NDgwMH0.xJa7uc7k4iCLQ2_k8gk7sWrdPldaWU2hxrbLZx68N6KtKHBif7bddv7fraJKXwwhUE16e67IPShR13rvG6iJDQ",
    ),
];
/// A PS256 signature with the modulus added: the same number, another text.
pub const PSS_PLUS_MODULUS: &str = "eyJhbGciOiJQUzI1NiJ9.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIuZXhhbXBsZSIsICJzdWIiOiAiYSIsICJleHAiOiA0MTAyNDQ0ODAwfQ.3xFzCpz0FGY7QxuqGY42qqVBoWWlGoIJEussfhh5_FSaNjXU41HKcPz1-do7jcPLdxulL_M0YIloAv6Nr0nfyFS6cugpHVlRXfRPtXAy1tBaLaH-9cdEXuawVpJdZ4fauSkOMmfETjrBpiZ5sVMpYRU22x5TNVb8Vb0wvpsuKNLti3XpeHFAF-31XIMDAFR1ki5GACc-78cMG5OwVP3WeR1WomZPgEtQ_54ltYh34IGkUYiT6xGQps9gbJtSSIV17hcVCirbMWQnLt5zwtyoMICFGIf1NpGGNpZGTLgdeOktv9BtqskobVxrpnBPkV-MQH2O_yPRxljydZMwjv-bvQ";
/// A PS256 signature whose salt is shorter than the hash (RFC 7518 section 3.5).
pub const PSS_SHORT_SALT: &str = "eyJhbGciOiJQUzI1NiJ9.e30.qPSZavwvkiQBNf3kXR_UPWw8bvN6PnHQDv1YmbRCIpWgrHp8gyMuTsR6xpHsaPIDP7tfZ1EhcMoZlNhFq43NmerDAVhmInh70eVEkveBisoQAA-yCXDdxMtCsUI69TbOOLhYxg95bxXWzOCh9-ZElfqmc1mU5CuSlDPBe7SzwxoWNkz7mk6tuT47Yw-n2LfAZ7nCmMKwNlStkmm5MzUgPT5_rKZ4Uq7dAi3hIpYgC9cEZO4vs2yTGkg4e4ln89aEN3_Gh15uOwOIJyHZwQsvNo25-N69JBdXXfD4RGaKpyZ2zw8m6P1wj9PEp742vz2N_01cJsY-EjsZjhgzjZ_gDQ";
/// An ES256 signature in the upper half of the order, as JOSE allows.
pub const ES256_HIGH_S: &str =
    "eyJhbGciOiJFUzI1NiJ9.e30.Q5Y2k3r4iW13Gto4OK6NfN_BlH7fIxmul45Gq3edBvPsJJtP38yqWu2_HfbVyLUHnWBKaapQHR7OOW-qpW_fWQ";
/// An ES256 signature in DER, which JOSE does not use.
pub const ES256_DER: &str = "eyJhbGciOiJFUzI1NiJ9.e30.MEUCIQC4YWb5bRiZxF1Lz1o1sQcLZwvgGwiYPoblg0u1Dp4oCAIgLJl-UK2T5UWZrQc1BwP1pcdGJ_4ti6vhVVtehLxjLqc";
/// An Ed25519 signature with the order added (RFC 8032 section 5.1.7).
pub const EDDSA_PLUS_ORDER: &str =
    "eyJhbGciOiJFZERTQSJ9.e30.jRkO0bMgIo2nhdhfZfgLfZW_CY3ifu7gM_mzOxXVbTukCNy942ck2283RSplm75iGbo5V6A3eV7GK7GHEcxuEQ";
/// HS256 keyed with the PEM text of the RSA public key.
pub const HMAC_BY_PUBLIC_KEY: &str = "eyJhbGciOiJIUzI1NiJ9.e30.sk1X6TAkukGGfN0o38dVTPI0HM1cJ0K3uUC4eDPMId0";
/// SHA-256 of each public key as SubjectPublicKeyInfo, computed by OpenSSL.
pub const SPKI_DIGESTS: [(&str, &str); 3] = [
    ("rsa", "8868a3b2bec96f6fb2c78f8cc8624466100559b8db0149d0e2dc8638be264d6e"),
    ("p256", "428efe06c7e5380750507c99e09f7dbbaad5bc3cb0645c7e08dcad53e1ba3dd6"),
    ("p384", "d90ed8cd01b5b2869571b884e5d9a7e0f2293d613511ebe178d9df66f9db72e9"),
];
/// A modulus of 1024 bits.
pub const RSA_1024: &str = "vrsJWwnpbEk73dv8yXCt5mSFfFXPFCYkcQev7t_YiDhGPOct5BiLuwNUZSv9cingZZI6k1kNwsAJBJPuHABTabcFbYhkgGnUcbtZpNhkkyxMzG5GOKmueqMmiqFBrrIaMUiXi0OgL3AxyuSFLDzZHOEoJLE0u74jT4MnEHOIN9s";
